"""What a training of decoders will do, found before it begins."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from texsynth.errors import InputError, UsageError
from texsynth.models.hashes import file_hash
from texsynth.models.weights import collect, part
from texsynth.training.checkpoint import check_origin, has_origin, steps_done
from texsynth.training.data import find_pictures
from texsynth.training.run_folder import ENCODER, as_header
from texsynth.training_settings import RHYTHM, DecoderSettings

PHOTO = 0
"""In place of a level."""

DEFAULT_LEVELS = (1, 2, 3, 4)
"""Those of paper 002, shallow ones first, because deeper ones begin with what these have learnt."""


@dataclass(frozen=True)
class DecoderRun:
    """Everything that decides the result of the training of one decoder."""

    folder: Path
    """Run folder with `encoder.safetensors`, which may hold decoders to start from."""
    level: int
    """1 to 5, or 0 for the photo decoder."""
    steps: int
    pictures: tuple[Path, ...]
    held_out: tuple[Path, ...]
    settings: DecoderSettings
    origin: dict[str, str]
    """Settings, seed, pictures and encoder in words, to recognise them on resume."""
    seed: int = 0

    @property
    def name(self) -> str:
        """Name of the decoder in weight files."""
        return f"decoder{self.level}" if self.level else "photo"

    @property
    def out(self) -> Path:
        """File of the finished decoder, float32, with what it was trained by in its header."""
        return self.folder / f"{self.name}.safetensors"

    @property
    def checkpoint(self) -> Path:
        """File to resume from."""
        return self.folder / f"{self.name}.checkpoint"

    def is_finished(self) -> bool:
        """Whether the decoder is there, and not only one that this training improves."""
        if not self.out.exists():
            return False
        return not self.checkpoint.exists() or steps_done(self.checkpoint) >= self.steps


def plan(
    folder: Path, data: Path, levels: Sequence[int], settings: DecoderSettings, seed: int
) -> list[DecoderRun]:
    """The trainings of the decoders of `levels`, one after the other; no levels are the usual four.

    Raises UsageError for a level that the encoder does not reach, ModelError without an encoder, InputError
    without pictures.
    """
    depth = sum(key.endswith("_1.weight") for key in part(collect(folder), "encoder"))
    levels = sorted(set(levels)) or [level for level in DEFAULT_LEVELS if level <= depth]
    deepest = max(level or 4 for level in levels)
    if deepest > depth:
        raise UsageError(f"the encoder in {folder} ends at level {depth}, so level {deepest} has no decoder")
    if PHOTO in levels and not settings.reconstruction:
        raise UsageError("reconstruction is 0, but the photo decoder learns from nothing else")
    pictures = find_pictures(data, held_out=False)
    common = {
        **as_header(settings.model_dump(exclude={*RHYTHM, "steps", "epochs"})),
        "seed": str(seed),
        "pictures": _names(pictures, data),
        "encoder": file_hash(folder / ENCODER),
    }
    runs, held_out = [], _held_out(data)
    for level in levels:
        steps = steps_of(settings, level, len(pictures))
        origin = {"steps": str(steps), **common}
        runs.append(DecoderRun(folder, level, steps, tuple(pictures), held_out, settings, origin, seed))
    return runs


def steps_of(settings: DecoderSettings, level: int, pictures: int) -> int:
    """Length of the training of one decoder; epochs are passes over `pictures` pictures."""
    if settings.epochs is None:
        assert settings.steps is not None
        return settings.steps
    return math.ceil(settings.epochs[(level or 4) - 1] * pictures / settings.batch)


def unfinished(runs: Sequence[DecoderRun], resume: bool) -> list[DecoderRun]:
    """The trainings that are left to do.

    Raises UsageError for one that was begun when not resuming, or that was begun with other settings, and
    InputError when there is nothing to resume.
    """
    begun = [run for run in runs if run.checkpoint.exists()]
    if begun and not resume:
        raise UsageError(f"{begun[0].checkpoint} exists; add --resume to go on, or choose another run folder")
    left = [run for run in runs if not (resume and run.is_finished())]
    if resume and left == list(runs) and not begun:
        raise InputError(
            f"there is no checkpoint {runs[0].checkpoint} to resume from; start without --resume"
        )
    for run in begun:
        # What an earlier version finished need not say its settings.
        if run in left or has_origin(run.checkpoint):
            check_origin(run.checkpoint, run.origin)
    return left


def _held_out(data: Path) -> tuple[Path, ...]:
    try:
        return tuple(find_pictures(data, held_out=True))
    except InputError:
        return ()


def _names(pictures: Sequence[Path], data: Path) -> str:
    names = "\n".join(path.relative_to(data).as_posix() for path in pictures)
    digest = hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()
    return f"{len(pictures)} (names {digest[:12]})"
