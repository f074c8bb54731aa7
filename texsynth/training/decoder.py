"""`texsynth train decoder`: train one decoder, or the photo decoder, on a frozen encoder."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.config.training import RHYTHM, DecoderSettings
from texsynth.errors import InputError, UsageError
from texsynth.models.autoencoder import Decoder, PhotoDecoder, upsampling_of
from texsynth.models.hub.cache import file_hash
from texsynth.models.vgg import Encoder, channels_last
from texsynth.models.weights import collect, part
from texsynth.training.checkpoint import Average, Learner, check_origin, has_origin, steps_done
from texsynth.training.closed_form_decoders import begin_decoder, start_photo_decoder
from texsynth.training.data import (
    KEPT_BYTES,
    Crops,
    Feed,
    Pictures,
    find_pictures,
    held_out_crops,
    intensify,
    to_image,
)
from texsynth.training.distillation import IMAGE_VARIANCE, cycle_terms
from texsynth.training.loop import LoopSettings, run
from texsynth.training.metrics import reconstruction
from texsynth.training.optimizer import Optimizer, autocast_for, scaler_for
from texsynth.training.run_folder import ENCODER, as_header, write_exact

START_CROPS, START_PX, HELD_OUT = 320, 128, 16
"""Crops for the closed-form start and their largest side, and most pictures for the PSNR on the way."""

_TRAINING, _START = 0, 1


def train_decoder(
    plan: DecoderRun,
    device: torch.device,
    *,
    resume: bool,
    report: Callable[[str], None],
    on_step: Callable[[int, Mapping[str, float]], None],
) -> Path:
    """Train against (002, eq. 28): image and feature reconstruction. Returns the decoder's file.

    Raises InputError when no picture can be used, UsageError for a number type that `device` lacks or a
    checkpoint of other settings.
    """
    settings = plan.settings
    autocast, scaler = autocast_for(device, settings.precision), scaler_for(device, settings.precision)
    # Every worker would keep pictures of its own.
    pictures = Pictures(plan.pictures, settings.resize_px, 0 if settings.workers else KEPT_BYTES)
    crops = Crops(pictures, settings.crop_px, (plan.seed, plan.level, _TRAINING), mirror=settings.mirror)
    tensors = collect(plan.folder)
    encoder = Encoder.from_state(part(tensors, "encoder")).requires_grad_(False)
    with Feed(crops, settings.batch, settings.workers, report) as feed:
        module = _bare(plan, encoder, tensors) if resume else _start(plan, encoder, tensors, pictures)
        report(f"{plan.name}: {plan.steps} steps on {len(pictures)} training pictures")
        for net in (encoder, module):
            channels_last(net, device)
        learner = Learner(
            module,
            Optimizer(module.parameters(), settings.kernel_rate, settings.rate, settings.optimizer),
            torch.Generator().manual_seed(plan.seed + 100 * plan.level),
            feed=feed,
            average=Average(module, settings.ema) if settings.ema else None,
            scaler=scaler,
        )

        def draw(rng: torch.Generator) -> dict[str, Tensor]:
            batch = feed.next()
            many = int(settings.vivid * len(batch))
            vivid = intensify(to_image(batch[:many], device), rng)
            image = torch.cat([vivid, to_image(batch[many:], device)])
            image = image.contiguous(memory_format=torch.channels_last)
            return losses(encoder, module, plan.level, image, settings)

        psnr = _psnr(plan, encoder, learner, device)
        run(
            learner,
            draw,
            LoopSettings(
                plan.steps,
                warmup=settings.warmup,
                schedule=settings.schedule,
                clip=settings.clip,
                save_every=settings.save_every,
                validate_every=settings.validate_every,
                batch=settings.batch,
            ),
            plan.checkpoint,
            resume=resume,
            autocast=autocast,
            on_step=on_step,
            report=report,
            validate=psnr,
            origin=plan.origin,
        )
    measured = {"psnr": f"{psnr():.2f} dB at {settings.crop_px} px"} if psnr else {}
    state = {f"{plan.name}.{key}": value for key, value in learner.result.state_dict().items()}
    write_exact(plan.out, state, {**plan.origin, **measured})
    return plan.out


def _bare(plan: DecoderRun, encoder: Encoder, tensors: Mapping[str, Tensor]) -> Decoder | PhotoDecoder:
    """The decoder with random weights that follow from the seed; it samples up as `_start` decides."""
    before = part(tensors, plan.name) or part(tensors, f"decoder{plan.level - 1}")
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed + 100 * plan.level)
        return (
            PhotoDecoder(encoder.widths[:4])
            if plan.level == PHOTO
            else Decoder(encoder.widths, plan.level, upsampling_of(before))
        )


def _start(
    plan: DecoderRun, encoder: Encoder, tensors: Mapping[str, Tensor], pictures: Pictures
) -> nn.Module:
    """The decoder before the first step: random, or as an earlier training left it, else in closed form."""
    if plan.settings.start == "random":
        return _bare(plan, encoder, tensors)
    if given := part(tensors, plan.name):
        return (
            PhotoDecoder.from_state(given) if plan.level == PHOTO else Decoder.from_state(given, plan.level)
        )
    rng = torch.Generator().manual_seed(plan.seed)
    source = Crops(pictures, min(START_PX, plan.settings.crop_px), (plan.seed, plan.level, _START))
    crops = torch.stack([torch.from_numpy(source[k][0]) for k in range(START_CROPS)])
    if plan.level == PHOTO:
        decoder = PhotoDecoder(encoder.widths[:4])
        start_photo_decoder(decoder, encoder, crops, rng)
        return decoder
    return begin_decoder(plan.level, encoder, tensors, crops, rng)


def _psnr(
    plan: DecoderRun, encoder: Encoder, learner: Learner, device: torch.device
) -> Callable[[], float] | None:
    """What measures the decoder that would be written now on held-out pictures, if there are any."""
    settings = plan.settings
    crops = held_out_crops(Pictures(plan.held_out, settings.resize_px), settings.crop_px, HELD_OUT)
    if not len(crops):
        return None
    through = rebuild(encoder, learner.result, plan.level)
    return lambda: reconstruction(lambda image: through(image.to(device)).float().cpu(), crops)


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
    for earlier in begun:
        # What an earlier version finished need not say its settings.
        if earlier in left or has_origin(earlier.checkpoint):
            check_origin(earlier.checkpoint, earlier.origin)
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


Rebuild = Callable[[Tensor], Tensor]
"""Image (N, 3, H, W) in [0, 1] through encoder and decoder."""


def losses(
    encoder: Encoder, decoder: nn.Module, level: int, image: Tensor, settings: DecoderSettings
) -> dict[str, Tensor]:
    """Weighted terms for one batch. level: 0 for the photo decoder, which has no feature error.

    With `errors: sum` they are the squared norms of (002, eq. 28) for each picture, averaged over the batch;
    with `relative` mean squares over the variance of what they are to match, so that levels compare.
    """
    with torch.no_grad():
        features = encoder.segment(image, 0, level) if level else None
    if features is None:
        rebuilt = rebuild(encoder, decoder, 0)(image).float()
        error = (
            _squares(rebuilt, image)
            if settings.errors == "sum"
            else F.mse_loss(rebuilt, image) / IMAGE_VARIANCE
        )
        return {"reconstruction": settings.reconstruction * error}
    if settings.errors == "sum":
        made = decoder(features)
        again = encoder.segment(made, 0, level)
        error, cycle = _squares(made.float(), image), _squares(again.float(), features.float())
    else:
        error, cycle = cycle_terms(encoder, decoder, features, level, image)
    return {"reconstruction": settings.reconstruction * error, "cycle": settings.cycle * cycle}


def rebuild(encoder: Encoder, decoder: nn.Module, level: int) -> Rebuild:
    """Through the features of `level`, or those of levels 1 to 4 at level 0, the photo decoder."""

    def through(image: Tensor) -> Tensor:
        with torch.no_grad():
            features = encoder.segment(image, 0, level) if level else encoder(image, 4)
        out: Tensor = decoder(features)
        return out

    return through


def _squares(made: Tensor, wanted: Tensor) -> Tensor:
    return F.mse_loss(made, wanted, reduction="sum") / len(wanted)
