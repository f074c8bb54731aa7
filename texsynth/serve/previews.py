"""Small pictures of what a command would make, while someone moves the controls."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from texsynth.config.expand_rules import MIN_SIDE, check_same_size
from texsynth.config.settings import ExpandSettings, StylizeSettings
from texsynth.errors import TexsynthError
from texsynth.images.formats import ResultFormat
from texsynth.images.picture import Picture
from texsynth.jobs.inputs import Input
from texsynth.jobs.map_inputs import MapsJob
from texsynth.jobs.memory import return_freed_memory
from texsynth.jobs.outcomes import Failed
from texsynth.pipelines.progress import OnStep, Step
from texsynth.serve.asking import PreviewAsked
from texsynth.serve.features import FeatureKey, RememberingFit, remembering
from texsynth.serve.memos import Memo
from texsynth.serve.models import Models
from texsynth.serve.pictures import Kept, Pictures, by_name, small_copy, view_png
from texsynth.serve.planning import plan
from texsynth.serve.rough import ROUGH_SIDE, can_be_rough, roughly
from texsynth.serve.settled import Settled, settle
from texsynth.serve.work import StoppingError, file_names

if TYPE_CHECKING:
    from torch import Tensor

    from texsynth.jobs.files import JobResult
    from texsynth.models.registry import Model

MOST_WAITING = 64  # Previews of as many tabs

FEATURE_BYTES = 192 << 20  # Of features of contents and styles that are kept

STYLE_BYTES = 64 << 20  # Of moments of styles that are kept

MADE_BYTES = 32 << 20  # Of previews that are kept

PAINTED_SIDE = 512  # Pixels at which strokes are painted at most

LEAST_SCALE = 0.25  # Of strokes, as settings have it

LEAST_STYLE = 96
"""Side in pixels below which a style is not reduced with its content: too few features would be left."""

LEAST_EXEMPLAR = 64  # The same of a texture


class SupersededError(Exception):
    """A newer preview of the same tab has taken the place of this one."""


@dataclass(eq=False)
class Ticket:
    """A preview on its way."""

    asked: PreviewAsked
    superseded: bool = False
    done: bool = False
    png: bytes = b""
    error: Exception | None = None
    rough: bool = False
    """Whether `png` is a rough preview, which a true one should follow."""
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)


class Previews:
    """Makes previews one at a time; any thread may ask for one."""

    def __init__(self, pictures: Pictures, models: Models) -> None:
        """Start with nothing to do."""
        self._pictures, self._models = pictures, models
        self._waiting: OrderedDict[str, Ticket] = OrderedDict()
        self._running: Ticket | None = None
        self._changed = Condition()
        self._stopping = False
        self._features: Memo[FeatureKey, Tensor] = Memo(FEATURE_BYTES)
        self._fit = RememberingFit(Memo(STYLE_BYTES))
        self._made: Memo[str, tuple[bytes, list[str]]] = Memo(MADE_BYTES)
        self._remembering: Model | None = None
        self._thread = Thread(target=self._work, name="texsynth-previews", daemon=True)
        self._thread.start()

    def ask(self, asked: PreviewAsked) -> Ticket:
        """Ask for a preview, in place of older ones of its tab. Raises StoppingError."""
        ticket = Ticket(asked)
        with self._changed:
            if self._stopping:
                raise StoppingError
            for older in (self._waiting.get(asked.tab), self._running):
                if older and older.asked.tab == asked.tab:
                    self._supersede(older)
            # In the place of the older one: other tabs have their turn, however often this one asks.
            self._waiting[asked.tab] = ticket
            while len(self._waiting) > MOST_WAITING:
                self._supersede(self._waiting.popitem(last=False)[1])
            self._changed.notify_all()
        return ticket

    def drop(self, ticket: Ticket) -> None:
        """Make no more of a preview that nobody waits for."""
        with self._changed:
            if self._waiting.get(ticket.asked.tab) is ticket:
                del self._waiting[ticket.asked.tab]
            self._supersede(ticket)

    def stop(self, patience: float) -> None:
        """End all previews, and wait some seconds for the one that is made."""
        with self._changed:
            self._stopping = True
            for ticket in [*self._waiting.values(), *filter(None, [self._running])]:
                self._supersede(ticket)
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join(patience)

    def _supersede(self, ticket: Ticket) -> None:
        ticket.superseded = True
        if ticket is not self._running:
            ticket.error, ticket.done = ticket.error or SupersededError(), True

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if self._stopping:
                    return
                _, ticket = self._waiting.popitem(last=False)
                self._running = ticket
            start = time.perf_counter()
            try:
                ticket.png = self._make(ticket)
            except Exception as error:  # one bad preview must not end the thread
                ticket.error = error
            with self._changed:
                self._running = None
                ticket.seconds, ticket.done = time.perf_counter() - start, True
            # After pictures of many sizes the C library would keep as much again as the memos do.
            return_freed_memory()

    def _make(self, ticket: Ticket) -> bytes:
        def check(step: Step) -> None:
            del step
            if ticket.superseded:
                raise SupersededError

        asked = ticket.asked
        settled = settle(asked, self._pictures.run_for(asked.pictures))
        with self._pictures.holding(asked.pictures) as kept:
            try:
                _check_siblings(asked, kept)
                return self._recalled(ticket, settled, check)
            except TexsynthError as error:
                raise type(error)(by_name(str(error), kept)) from error

    def _recalled(self, ticket: Ticket, settled: Settled, check: OnStep) -> bytes:
        """Return the preview as it was made before, or make it; a rough one where that is enough."""
        true = ticket.asked.model_copy(update={"rough": False})
        key = f"{true.model_dump_json(exclude={'tab', 'preset', 'changes', 'run'})} {settled}"
        made = self._made.get(key)
        if made is None and ticket.asked.rough and can_be_rough(settled):
            # Less may be too little; then the true one is made, which tells what is wrong, if anything is.
            with suppress(TexsynthError):
                made = self._compute(ticket.asked, settled, check)
                ticket.rough = True
        if made is None:
            made = self._compute(true, settled, check)
            self._made.put(key, made)
        png, ticket.warnings = made
        return png

    def _compute(self, asked: PreviewAsked, settled: Settled, check: OnStep) -> tuple[bytes, list[str]]:
        """Return a PNG and warnings."""
        none = Step("", 0, 1)
        if asked.rough:
            asked = asked.model_copy(update={"side": min(asked.side, ROUGH_SIDE)})
        small = reduce_all(asked, settled, self._pictures)
        if asked.rough:
            small = replace(small, settled=roughly(small.settled, small.inputs[asked.picture].picture))
        check(none)
        planned = plan(asked.model_copy(update={"siblings": ()}), small.settled, small.inputs, small.output)
        _, failed = planned.check([planned.job])
        for failure in failed:
            assert isinstance(failure, Failed)
            raise failure.error
        operation = planned.operation(self._network(), self._fit)
        warnings: list[str] = []
        operation.prepare(warnings.append)
        check(none)
        result = operation.compute(planned.job, operation.load(planned.job), check)
        return view_png(shown(planned.job, result, asked), asked.side), [*warnings, *result.warnings]

    def _network(self) -> Model:
        """Return the network, which remembers the features of what it has seen."""
        model = self._models.load()
        if self._remembering is None:
            self._remembering = remembering(model, self._features)
        return self._remembering


def _check_siblings(asked: PreviewAsked, kept: Sequence[Kept]) -> None:
    """Refuse siblings that the full result would refuse, since previews leave them out. Raises InputError."""
    by_id = {one.id: one for one in kept}
    exemplar = by_id[asked.picture]
    for number in asked.siblings:
        sibling = by_id[number]
        size, right = (sibling.width, sibling.height), (exemplar.width, exemplar.height)
        check_same_size(sibling.name, size, exemplar.name, right)


@dataclass(frozen=True)
class Reduced:
    """The pictures of a request in a smaller size, and the settings for that."""

    inputs: dict[str, Input]
    settled: Settled
    output: str = "-"


def reduce_all(asked: PreviewAsked, settled: Settled, pictures: Pictures) -> Reduced:
    """Reduce the pictures of a request so that its result has at most `side` pixels on the longer side.

    Styles are reduced by as much as the content, so that strokes are as large as those of the full result,
    relative to the picture.
    """
    kept = pictures.get(asked.picture)
    full = kept.width, kept.height
    if asked.section == "stylize":
        longest = min(max(full), settled.run.max_side or max(full))
        own = min(asked.side, longest)
        factor, settled = _stroke_factor(own / longest, own, settled)
        settled = replace(settled, run=settled.run.model_copy(update={"max_side": None, "tile": None}))
    elif asked.section == "expand":
        factor, settled = _texture_factor(asked, settled, full)
        own = max(MIN_SIDE, round(max(full) * min(1.0, factor)))
    else:
        factor, own = 1.0, asked.side
    names = file_names(asked, pictures)

    def small(number: str, side: int, *, as_data: bool = False) -> Input:
        """A picture in memory, under the name by which it seeds textures; a card as its file."""
        if (kept := pictures.get(number)).kind == "card":
            return Input(kept.path, names[number])
        picture = small_copy(pictures.reduced(number, as_data=as_data), max(1, side))
        return Input(Path(names[number]), names[number], picture=picture)

    inputs = {asked.picture: small(asked.picture, own)}
    for style in asked.styles:
        if style.picture not in inputs:
            one = pictures.get(style.picture)
            side = max(
                min(LEAST_STYLE, max(one.width, one.height)), round(max(one.width, one.height) * factor)
            )
            inputs[style.picture] = small(style.picture, side)
        if style.mask is not None:
            inputs[style.mask] = small(style.mask, own, as_data=True)
    for mask in (asked.hole, asked.mask):
        if mask is not None:
            inputs[mask] = small(mask, own, as_data=True)
    output = "-" if asked.command != "maps" else "preview/"
    return Reduced(inputs, replace(settled, result_format=ResultFormat(".png")), output)


def _stroke_factor(factor: float, side: int, settled: Settled) -> tuple[float, Settled]:
    """Return by how much styles are reduced, and settings for strokes of the size that the result will have.

    factor: by which the content is reduced, to `side` pixels. A painting of few pixels has no small strokes,
    so they are painted at a larger size, as far as there is time for that.
    """
    settings = settled.settings
    assert isinstance(settings, StylizeSettings)
    if settings.mode == "photo" or factor == 1:
        return factor, settled
    strokes = settings.style_scale * factor
    scale = min(settings.style_scale, max(strokes, side / PAINTED_SIDE, LEAST_SCALE))
    changed = settings.model_copy(update={"style_scale": scale})
    return min(1.0, strokes / scale), replace(settled, settings=changed)


def _texture_factor(asked: PreviewAsked, settled: Settled, full: tuple[int, int]) -> tuple[float, Settled]:
    """Return by how much an exemplar of (width, height) is reduced, and the settings for the result."""
    settings = settled.settings
    assert isinstance(settings, ExpandSettings)
    if asked.hole is not None or (asked.command == "tile" and settings.size is None):
        return asked.side / max(full), settled
    width, height = settings.size or tuple(side * settings.scale for side in full)
    # An exemplar of few pixels has no texture: of a very large output a part is shown instead.
    least = min(1.0, LEAST_EXEMPLAR / min(full))
    factor = min(1.0, max(asked.side / max(width, height), least))
    size = [max(MIN_SIDE, min(asked.side, round(side * factor))) for side in (width, height)]
    changed = settings.model_copy(update={"size": (size[0], size[1])})
    return factor, replace(settled, settings=changed)


def shown(job: Any, result: JobResult, asked: PreviewAsked) -> Picture:  # noqa: ANN401 (any job)
    """Return the picture of a result that the page shows."""
    files = list(result.files)
    if isinstance(job, MapsJob):
        paths = {path: role for role, path in job.parts}
        files = [file for file in files if paths[file.path] == asked.show]
    picture = files[0].picture
    assert isinstance(picture, Picture), "previews are small"
    return picture
