"""Train the decoders of levels 1 to 4 together, or that of photographs, on stylised pictures.

A decoder that is trained on an encoder's features is used on others: those that a transform has mapped, and
at the next level those of a picture that a decoder has made. So the whole cascade of `stylize` is run here,
and a full VGG-19 judges what comes out, by the style that it has taken and the content that it has kept.
Real pictures are anchors: each decoder alone must rebuild them, and a content that is its own style must come
back. The photo decoder goes through photo mode instead. The encoder is frozen.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.config.settings import (
    AdaINSettings,
    IFTSettings,
    OTSettings,
    StylizeSettings,
    TransformSettings,
    WCTSettings,
)
from texsynth.config.training import StylisedSettings
from texsynth.errors import InputError, UsageError
from texsynth.metrics.style import psnr
from texsynth.models.autoencoder import Decoder, PhotoDecoder
from texsynth.models.hub.cache import file_hash
from texsynth.models.registry import Model
from texsynth.models.vgg import Encoder, channels_last
from texsynth.models.weights import collect, part, prefixed, write_exact
from texsynth.ops.noise import soft_noise
from texsynth.paths import exists
from texsynth.pipelines.stylize import fit_style, stylize
from texsynth.training import log
from texsynth.training.cascade import MAPPED, Cascade, spreads
from texsynth.training.checkpoint import ENCODER, Learner, as_header, running_average, steps_done
from texsynth.training.data import CACHE_BYTES, BatchLoader, Crops, Pictures, find_pictures, to_image
from texsynth.training.decoder import IMAGE_VARIANCE, cycle_terms
from texsynth.training.loop import LoopSettings, Session, run
from texsynth.training.optimizer import Optimizer
from texsynth.training.style_judge import Judge, grid_strength, load_judge, measure_pairs
from texsynth.training.stylised_photo import judged_photo, photo_losses

HELD_OUT = 6  # Pairs of held-out pictures that decoders are judged on

WEAKEST = 0.2  # Least strength that is drawn

_CONTENT, _STYLE = 10, 11  # Seeds of the two series of crops

TRANSFORMS: Mapping[str, TransformSettings] = {
    "ift": IFTSettings(),
    "wct": WCTSettings(),
    "ot": OTSettings(),
    "adain": AdaINSettings(),
}
"""Transforms that are drawn, by the names of their odds in the settings."""


@dataclass(frozen=True)
class StylisedRun:
    """Everything that decides the result."""

    folder: Path  # Run folder with the encoder and the decoders to start from
    contents: tuple[Path, ...]
    styles: tuple[Path, ...]
    held_out: tuple[tuple[Path, ...], tuple[Path, ...]]  # Contents and styles that are never trained on
    teacher: Path
    settings: StylisedSettings
    origin: dict[str, str]
    """Settings, seed, pictures, encoder and teacher as texts, to recognise them on resume."""
    seed: int
    photo: bool = False  # Train the photo decoder, not those of levels 1 to 4

    @property
    def name(self) -> str:
        """What the names of files about the run begin with; one folder may hold a run of each kind."""
        return "stylised-photo" if self.photo else "stylised"

    @property
    def checkpoint(self) -> Path:
        """File to resume from."""
        return self.folder / f"{self.name}.checkpoint"

    @property
    def curve(self) -> Path:
        """Table of what the averaged decoders make of held-out pairs."""
        return self.folder / f"{self.name}-held-out.csv"

    def is_finished(self) -> bool:
        """Tell whether all steps are done."""
        return exists(self.checkpoint) and steps_done(self.checkpoint) >= self.settings.steps


def plan_stylised(
    folder: Path,
    data: Path,
    styles: Path,
    teacher: Path,
    settings: StylisedSettings,
    seed: int,
    *,
    photo: bool = False,
) -> StylisedRun:
    """Plan a training on contents below `data` and styles below `styles`.

    photo: of the photo decoder. Raises ModelError without an encoder, UsageError without the decoders to
    begin with, InputError without pictures.
    """
    tensors = collect(folder)
    decoders = (
        {"photo": "for photographs"}
        if photo
        else {f"decoder{level}": f"of level {level}" for level in sorted(MAPPED)}
    )
    if missing := [what for name, what in decoders.items() if not part(tensors, name)]:
        raise UsageError(
            f"{folder} has no decoder {missing[0]} to start from; train it first, or give --model"
        )
    pictures = {"contents": data, "styles": styles}
    paths = {name: tuple(find_pictures(place, held_out=False)) for name, place in pictures.items()}
    try:
        held_out = tuple(tuple(find_pictures(place, held_out=True)) for place in (data, styles))
    except InputError:
        held_out = ((), ())
    origin = {
        **as_header(settings.model_dump(exclude={"save_every", "judged_px"})),
        "seed": str(seed),
        **{name: _named(paths[name], place) for name, place in pictures.items()},
        "encoder": file_hash(folder / ENCODER),
        "teacher": file_hash(teacher),
    }
    contents, style_paths = paths["contents"], paths["styles"]
    return StylisedRun(
        folder, contents, style_paths, (held_out[0], held_out[1]), teacher, settings, origin, seed, photo
    )


def _named(paths: Sequence[Path], folder: Path) -> str:
    names = "\n".join(path.relative_to(folder).as_posix() for path in paths)
    digest = hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()
    return f"{len(paths)} (names {digest[:12]})"


@dataclass(frozen=True)
class _Pairs:
    """Batches of contents and of styles."""

    contents: BatchLoader
    styles: BatchLoader

    def state_dict(self) -> dict[str, Any]:
        """Return the places in both series."""
        return {"contents": self.contents.state_dict(), "styles": self.styles.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at these places."""
        self.contents.load_state_dict(state["contents"])
        self.styles.load_state_dict(state["styles"])


Pairs = Sequence[tuple[Tensor, Tensor]]  # Contents and styles, (1, 3, S, S) in [0, 1] each


@dataclass(frozen=True)
class _Work:
    """Networks in training, with what they learn from and what says how good they are."""

    network: nn.Module
    losses: Callable[[Tensor, Tensor, torch.Generator], dict[str, Tensor]]
    parts: Callable[[nn.Module], dict[str, nn.Module]]  # Of the averaged network, by the names in files
    judged: Callable[[nn.Module, Pairs], dict[str, float]]


def _work(plan: StylisedRun, device: torch.device) -> _Work:
    tensors, settings = collect(plan.folder), plan.settings
    encoder = channels_last(Encoder.from_state(part(tensors, "encoder")).requires_grad_(False), device)
    judge = Judge(channels_last(load_judge(plan.teacher), device), settings)
    if plan.photo:
        decoder = channels_last(PhotoDecoder.from_state(part(tensors, "photo")), device)
        return _Work(
            decoder,
            lambda content, style, rng: photo_losses(encoder, decoder, judge, content, style, settings, rng),
            lambda result: {"photo": result},
            lambda result, pairs: judged_photo(encoder, cast("PhotoDecoder", result), judge.teacher, pairs),
        )
    levels = {level: Decoder.from_state(part(tensors, f"decoder{level}"), level) for level in MAPPED}
    cascade = channels_last(Cascade(levels), device)
    return _Work(
        cascade,
        lambda content, style, rng: losses(encoder, cascade, judge, content, style, settings, rng),
        lambda result: {f"decoder{level}": cast("Cascade", result).decoder(level) for level in MAPPED},
        lambda result, pairs: judged(encoder, cast("Cascade", result), judge.teacher, pairs),
    )


def train_stylised(plan: StylisedRun, session: Session) -> Path:
    """Train, and write the averaged decoders to the run folder at every checkpoint. Returns the folder.

    Raises InputError without usable pictures, UsageError for other settings than those of the checkpoint.
    """
    settings, device = plan.settings, session.device
    work = _work(plan, device)

    def loader(paths: Sequence[Path], series: int) -> BatchLoader:
        crops = Crops(Pictures(paths, None, CACHE_BYTES), settings.crop_px, (plan.seed, series))
        return BatchLoader(crops, settings.batch, 0, session.report)

    with closing(loader(plan.contents, _CONTENT)) as contents, closing(loader(plan.styles, _STYLE)) as styles:
        learner = Learner(
            work.network,
            Optimizer(work.network.parameters(), settings.rate, settings.rate, "adam"),
            torch.Generator().manual_seed(plan.seed),
            loader=_Pairs(contents, styles),
            average=running_average(work.network, settings.ema) if settings.ema else None,
        )

        def draw_losses(rng: torch.Generator) -> dict[str, Tensor]:
            content, style = (to_image(batch.next(), device) for batch in (contents, styles))
            return work.losses(content, style, rng)

        pairs = held_out_pairs(plan)

        def inspect(step: int) -> None:
            header = {**plan.origin, "trained": f"{step} steps on stylised pictures"}
            for name, network in work.parts(learner.result).items():
                write_exact(plan.folder / f"{name}.safetensors", prefixed(name, network.state_dict()), header)
            if pairs:
                row = {"step": float(step), **work.judged(learner.result, pairs)}
                log.keep(plan.curve, _rows_before(plan.curve, step))
                log.append(plan.curve, row)
                session.report("  ".join(f"{name} {value:.4g}" for name, value in row.items()))

        session.report(f"{settings.steps} steps on {len(plan.contents)} contents, {len(plan.styles)} styles")
        if not session.resume and pairs:
            plan.curve.unlink(missing_ok=True)
            log.append(plan.curve, {"step": 0.0, **work.judged(work.network, pairs)})
        loop = LoopSettings.of(settings, batch=settings.batch)
        run(learner, draw_losses, loop, plan.checkpoint, session, inspect=inspect, origin=plan.origin)
    return plan.folder


def _rows_before(curve: Path, step: int) -> int:
    """Count the rows of earlier steps; a run that was killed comes by again."""
    if not exists(curve):
        return 0
    with curve.open(newline="") as file:
        return sum(float(row["step"]) < step for row in csv.DictReader(file))


def losses(
    encoder: Encoder,
    cascade: Cascade,
    judge: Judge,
    content: Tensor,
    style: Tensor,
    settings: StylisedSettings,
    rng: torch.Generator,
) -> dict[str, Tensor]:
    """Compute the weighted terms for one batch of contents and styles, (N, 3, S, S) in [0, 1] both."""
    content, style = flattened(content, settings.flat, rng), flattened(style, settings.flat / 2, rng)
    count = len(content)
    own = min(count - 1, round(settings.identity_share * count))
    odds = torch.tensor([getattr(settings, name) for name in TRANSFORMS])
    drawn = torch.multinomial(odds, count, replacement=True, generator=rng).tolist()
    transforms = [list(TRANSFORMS.values())[k] for k in drawn]
    strength, chance, noisy = torch.rand(3, count, generator=rng)
    strength = torch.where(chance < settings.full_strength, 1.0, WEAKEST + (1 - WEAKEST) * strength)
    strength[:own] = 1.0
    style = torch.cat([content[:own], style[own:]])
    seeds = torch.randint(1 << 31, (count,), generator=rng).tolist()
    grain = torch.cat([soft_noise((0, 0), (content.shape[2], content.shape[3]), seed) for seed in seeds])
    deviation = settings.grain * strength * (noisy < 0.5)
    deviation[:own] = 0
    start = content + deviation.to(content)[:, None, None, None] * grain.to(content)
    with torch.no_grad():
        fitted = {level: spreads(f) for level, f in enumerate(encoder(style, max(MAPPED)), 1)}
    result = cascade(
        encoder, start.contiguous(memory_format=torch.channels_last), fitted, transforms, strength
    )
    terms = judge(result[own:], content[own:], style[own:], strength[own:])
    if own:
        terms["identity"] = settings.identity * F.mse_loss(result[:own], content[:own]) / IMAGE_VARIANCE
        means = F.avg_pool2d(result[:own], 16), F.avg_pool2d(content[:own], 16)
        terms["tint"] = settings.tint * F.mse_loss(means[0], means[1]) / IMAGE_VARIANCE
    terms["grid"] = settings.grid * grid_strength(result)
    real = torch.cat([content[: settings.anchors], style[own:][: settings.anchors]])
    with torch.no_grad():
        features = encoder(real, max(MAPPED))
    errors = [
        cycle_terms(encoder, cascade.decoder(level), features[level - 1], level, real, "relative")
        for level in MAPPED
    ]
    for name, values in zip(("reconstruction", "cycle"), zip(*errors, strict=True), strict=True):
        terms[name] = getattr(settings, name) * torch.stack(values).mean()
    return terms


def flattened(images: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Blur pictures (N, 3, S, S) to soft gradients, each with odds `share`."""
    chances = torch.rand(len(images), generator=rng).tolist()
    cells = torch.randint(1, 4, (len(images),), generator=rng).tolist()
    out = [
        F.interpolate(F.adaptive_avg_pool2d(x[None], 2**k), x.shape[1:], mode="bicubic").clamp(0, 1)
        if chance < share
        else x[None]
        for x, chance, k in zip(images, chances, cells, strict=True)
    ]
    return torch.cat(out).contiguous(memory_format=torch.channels_last)


def held_out_pairs(plan: StylisedRun) -> Pairs:
    """Read pairs of content and style, the middles of pictures all over the two lists, (1, 3, S, S) each."""
    contents, styles = (
        [to_image(x[None]) for x in Pictures(paths).held_out_crops(plan.settings.judged_px, HELD_OUT)]
        if paths
        else []
        for paths in plan.held_out
    )
    # Of one list, each is the style of another.
    turn = len(styles) // 2 if plan.held_out[0] == plan.held_out[1] else 0
    return list(zip(contents, styles[turn:] + styles[:turn], strict=False))


def judged(encoder: Encoder, cascade: Cascade, teacher: Encoder, pairs: Pairs) -> dict[str, float]:
    """Measure what `stylize` makes of pairs: medians of the Gram distance to the style and of edges' SSIM.

    And of `grid_strength`. With the defaults, but for what goes around the decoders, and with WCT
    without grain.
    identity: median PSNR in dB of contents as their own style.
    """
    device = next(encoder.parameters()).device
    decoders = {level: cascade.decoder(level) for level in MAPPED}
    model = Model("", "", encoder, decoders, None, device, torch.float32, {})
    # What goes around the decoders would hide what they do.
    usual = StylizeSettings(transform=IFTSettings(), preserve_detail=0.0, preserve_light=0.0)
    plain = usual.model_copy(update={"grain": 0.0})
    ways = {"ift": usual, "wct": plain.model_copy(update={"transform": WCTSettings()})}

    def measure(content: Tensor) -> dict[str, float]:
        own = stylize(content, fit_style(content, model, plain), model, plain).float().cpu()
        return {"identity": psnr(own, content)}

    return measure_pairs(model, ways, teacher, pairs, measure, grid=True)
