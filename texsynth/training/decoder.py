"""Train decoders, one for each level or one for photographs, on a frozen encoder."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from texsynth.config.settings import WCTSettings
from texsynth.config.training import LATER, NEUTRAL, DecoderSettings
from texsynth.errors import InputError, UsageError
from texsynth.metrics.style import psnr
from texsynth.models.autoencoder import Decoder, PhotoDecoder, bottleneck_of, upsampling_of
from texsynth.models.hub.cache import file_hash
from texsynth.models.vgg import Encoder, channels_last
from texsynth.models.weights import collect, decoder_part, part, prefixed, write_exact
from texsynth.paths import exists
from texsynth.training.cascade import map_features, spreads
from texsynth.training.checkpoint import (
    ENCODER,
    Learner,
    as_header,
    check_fresh,
    check_origin,
    running_average,
    steps_done,
)
from texsynth.training.closed_form import begin_decoder, start_photo_decoder
from texsynth.training.data import CACHE_BYTES, BatchLoader, Crops, Pictures, find_pictures, to_image
from texsynth.training.loop import LoopSettings, Session, run
from texsynth.training.optimizer import Optimizer
from texsynth.training.teacher import CHUNK

PHOTO = 0  # The photo decoder, in place of a level

DEFAULT_LEVELS = (1, 2, 3, 4)
"""Levels of paper 002, shallow ones first, because deeper ones begin with what these have learnt."""

START_CROPS, START_PX, HELD_OUT = 320, 128, 16
"""Crops for the closed-form start and their largest side, and most pictures for the PSNR on the way."""

IMAGE_VARIANCE = 0.07  # Mean variance of training pictures; errors are measured against it

LEAST_VARIANCE = 1e-6  # The same of features, whose mean activation is about one

Errors = Literal["relative", "sum"]

_TRAINING, _START = 0, 1

WEAKEST = 0.2  # Least strength of a map of features that is drawn


@dataclass(frozen=True)
class DecoderRun:
    """Everything that decides the result of the training of one decoder."""

    folder: Path  # Run folder with `encoder.safetensors`, which may hold decoders to start from
    level: int  # 1 to 5, or PHOTO
    steps: int
    pictures: tuple[Path, ...]
    held_out: tuple[Path, ...]
    settings: DecoderSettings
    origin: dict[str, str]
    """Settings, seed, pictures and encoder as texts, to recognise them on resume."""
    seed: int

    @property
    def name(self) -> str:
        """Name of the decoder in weight files."""
        return f"decoder{self.level}" if self.level else "photo"

    @property
    def out(self) -> Path:
        """File of the finished decoder, float32, with the settings of its training in its header."""
        return self.folder / f"{self.name}.safetensors"

    @property
    def checkpoint(self) -> Path:
        """File to resume from."""
        return self.folder / f"{self.name}.checkpoint"

    def is_finished(self) -> bool:
        """Tell whether the decoder exists, and is not only one that this training improves."""
        if not exists(self.out):
            return False
        return not exists(self.checkpoint) or steps_done(self.checkpoint) >= self.steps


def plan(
    folder: Path, data: Path, levels: Sequence[int], settings: DecoderSettings, seed: int
) -> list[DecoderRun]:
    """Plan the trainings of the decoders of `levels`, one after the other; no levels are the usual four.

    Raises UsageError for a level beyond the encoder's, ModelError without one, InputError without pictures.
    """
    depth = sum(key.endswith("_1.weight") for key in part(collect(folder), "encoder"))
    levels = sorted(set(levels)) or [level for level in DEFAULT_LEVELS if level <= depth]
    deepest = max(level or 4 for level in levels)
    if deepest > depth:
        raise UsageError(f"the encoder in {folder} ends at level {depth}, so level {deepest} has no decoder")
    if settings.bottleneck:
        check_bottleneck(settings.bottleneck, levels, collect(folder))
    if PHOTO in levels and not settings.reconstruction:
        raise UsageError("reconstruction is 0, but the photo decoder learns from nothing else")
    pictures = tuple(find_pictures(data, held_out=False))
    try:
        held_out = tuple(find_pictures(data, held_out=True))
    except InputError:
        held_out = ()
    names = "\n".join(path.relative_to(data).as_posix() for path in pictures)
    digest = hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()
    usual = {name for name in LATER if getattr(settings, name) == DecoderSettings.model_fields[name].default}
    common = {
        **as_header(settings.model_dump(exclude={*NEUTRAL, *usual, "steps", "epochs"})),
        "seed": str(seed),
        "pictures": f"{len(pictures)} (names {digest[:12]})",
        "encoder": file_hash(folder / ENCODER),
    }
    steps = {level: steps_of(settings, level, len(pictures)) for level in levels}
    return [
        DecoderRun(folder, level, n, pictures, held_out, settings, {"steps": str(n), **common}, seed)
        for level, n in steps.items()
    ]


def check_bottleneck(channels: int, levels: Sequence[int], tensors: Mapping[str, Tensor]) -> None:
    """Raise UsageError unless decoders of `levels` can have a bottleneck and the finer ones exist."""
    widths = Encoder.from_state(part(tensors, "encoder")).widths
    for level in levels:
        if level < 4:
            what = f"level {level}" if level else "photographs"
            raise UsageError(f"a bottleneck is for the decoders of levels 4 and 5, not for {what}")
        stored = part(tensors, f"decoder{level}")
        if stored and bottleneck_of(stored, level) != channels:
            raise UsageError(
                f"the run has a decoder of level {level} already, without a bottleneck of {channels}; "
                "remove its file, or set bottleneck to null"
            )
        if channels > widths[level - 2]:
            raise UsageError(
                f"bottleneck {channels} is wider than level {level - 1}; take at most {widths[level - 2]}"
            )
        if not part(tensors, f"decoder{level - 1}") and level - 1 not in levels:
            raise UsageError(
                f"a decoder of level {level} with a bottleneck ends at level {level - 1}, which has no "
                "decoder in the run; train that first"
            )


def steps_of(settings: DecoderSettings, level: int, pictures: int) -> int:
    """Length of the training of one decoder; epochs are passes over `pictures` pictures."""
    if settings.epochs is None:
        assert settings.steps is not None
        return settings.steps
    return math.ceil(settings.epochs[(level or 4) - 1] * pictures / settings.batch)


def unfinished(runs: Sequence[DecoderRun], resume: bool) -> list[DecoderRun]:
    """List the trainings that are left. Raises as `check_fresh` and `check_origin` do."""
    begun = [run for run in runs if exists(run.checkpoint)]
    left = [run for run in runs if not (resume and run.is_finished())]
    if begun or left == list(runs):
        check_fresh((begun or runs)[0].checkpoint, resume)
    for earlier in begun:
        check_origin(earlier.checkpoint, earlier.origin)
    return left


def train_decoder(plan: DecoderRun, session: Session) -> Path:
    """Train against (002, eq. 28): image and feature reconstruction. Returns the decoder's file.

    Raises InputError without usable pictures, UsageError for other settings than those of the checkpoint.
    """
    settings, device = plan.settings, session.device
    # Every worker would keep pictures of its own.
    pictures = Pictures(plan.pictures, settings.resize_px, 0 if settings.workers else CACHE_BYTES)
    crops = Crops(pictures, settings.crop_px, (plan.seed, plan.level, _TRAINING), mirror=settings.mirror)
    tensors = collect(plan.folder)
    encoder = Encoder.from_state(part(tensors, "encoder")).requires_grad_(False)
    with closing(BatchLoader(crops, settings.batch, settings.workers, session.report)) as loader:
        # What is resumed gets its weights from the checkpoint.
        random = session.resume or settings.start == "random"
        decoder = _begin(plan, encoder, tensors, None if random else pictures)
        if isinstance(decoder, Decoder) and decoder.bottleneck:
            decoder.requires_grad_(False)
            for name in decoder.to_finer:
                decoder.conv(*name).requires_grad_(True)
        session.report(f"{plan.name}: {plan.steps} steps on {len(pictures)} training pictures")
        for net in (encoder, decoder):
            channels_last(net, device)
        learner = Learner(
            decoder,
            Optimizer(
                [p for p in decoder.parameters() if p.requires_grad],
                settings.kernel_rate,
                settings.rate,
                settings.optimizer,
            ),
            torch.Generator().manual_seed(plan.seed + 100 * plan.level),
            loader=loader,
            average=running_average(decoder, settings.ema) if settings.ema else None,
            # It keeps gradients inside the range of float16; other number types need none.
            scaler=GradScaler(device.type) if settings.precision == "float16" else None,
        )

        def draw_losses(rng: torch.Generator) -> dict[str, Tensor]:
            batch = loader.next()
            count = int(settings.contrast_jitter * len(batch))
            images = [intensify(to_image(batch[:count], device), rng), to_image(batch[count:], device)]
            image = torch.cat(images).contiguous(memory_format=torch.channels_last)
            return losses(encoder, decoder, plan.level, image, settings, rng)

        held_out = Pictures(plan.held_out, settings.resize_px).held_out_crops(settings.crop_px, HELD_OUT)
        through = rebuild(encoder, learner.result, plan.level)

        def validate() -> float:
            return reconstruction(lambda image: through(image.to(device)).float().cpu(), held_out)

        loop, measure = LoopSettings.of(settings, steps=plan.steps), validate if len(held_out) else None
        run(learner, draw_losses, loop, plan.checkpoint, session, validate=measure, origin=plan.origin)
    measured = {"psnr": f"{measure():.2f} dB at {settings.crop_px} px"} if measure else {}
    result = learner.result
    state = result.own_state() if isinstance(result, Decoder) else result.state_dict()
    write_exact(plan.out, prefixed(plan.name, state), {**plan.origin, **measured})
    return plan.out


def intensify(image: Tensor, rng: torch.Generator) -> Tensor:
    """Raise the contrast of every colour channel of (N, 3, H, W) in [0, 1] up to twice, as styles have it."""
    gain = 1 + torch.rand(len(image), 3, 1, 1, generator=rng).to(image)
    middle = image.mean((2, 3), keepdim=True)
    return (middle + gain * (image - middle)).clamp(0, 1)


def losses(
    encoder: Encoder,
    decoder: nn.Module,
    level: int,
    image: Tensor,
    settings: DecoderSettings,
    rng: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Compute the weighted terms for one batch. level: PHOTO has no feature error. rng: for strengths.

    With `errors: sum` they are the squared norms of (002, eq. 28) for each picture, averaged over the batch;
    with `relative` mean squares over the variance of their targets, so that levels compare.
    """
    if level == PHOTO:
        rebuilt = rebuild(encoder, decoder, PHOTO)(image)
        error = _error(rebuilt, image, IMAGE_VARIANCE, settings.errors)
        return {"reconstruction": settings.reconstruction * error}
    assert isinstance(decoder, Decoder)
    with torch.no_grad():
        finer = encoder.segment(image, 0, level - 1)
        features = encoder.segment(finer, level - 1, level)
    terms = {}
    if settings.finer:
        error = _feature_error(decoder.through(features, decoder.to_finer), finer, settings.errors)
        terms["finer"] = settings.finer * error
    few = slice(settings.decoded)
    if settings.reconstruction + settings.cycle:
        error, cycle = cycle_terms(encoder, decoder, features[few], level, image[few], settings.errors)
        terms |= {"reconstruction": settings.reconstruction * error, "cycle": settings.cycle * cycle}
    if settings.mapped:
        with torch.no_grad():
            goal = map_to_others(features, len(features[few]), rng)
        again = encoder.segment(decoder(goal), 0, level)
        terms["mapped"] = settings.mapped * _feature_error(again, goal, settings.errors)
    return terms


def map_to_others(features: Tensor, count: int, rng: torch.Generator | None) -> Tensor:
    """Give the first `count` of (N, C, h, w) the moments of the last, by WCT, with strengths from rng."""
    strength = WEAKEST + (1 - WEAKEST) * torch.rand(count, generator=rng)
    with torch.autocast(features.device.type, enabled=False):
        styles = spreads(features.flip(0)[:count])
        return map_features(features[:count], styles, [WCTSettings()] * count, strength)


def cycle_terms(
    encoder: Encoder, decoder: nn.Module, features: Tensor, level: int, image: Tensor, errors: Errors
) -> tuple[Tensor, Tensor]:
    """Compute both terms of the autoencoder loss (002, eq. 28). errors: as in DecoderSettings.

    features: `encoder`'s of `image` at `level`. Returns reconstruction and feature errors, both scalar.
    """
    rebuilt = decoder(features)
    again = encoder.segment(rebuilt, 0, level)
    return _error(rebuilt, image, IMAGE_VARIANCE, errors), _feature_error(again, features, errors)


def _feature_error(result: Tensor, target: Tensor, errors: Errors) -> Tensor:
    # A crop of one colour has none.
    variance = target.detach().float().var((0, 2, 3)).mean().clamp_min(LEAST_VARIANCE)
    return _error(result, target, variance, errors)


def _error(result: Tensor, target: Tensor, variance: Tensor | float, errors: Errors) -> Tensor:
    if errors == "sum":
        return F.mse_loss(result.float(), target.float(), reduction="sum") / len(target)
    return F.mse_loss(result.float(), target.float()) / variance


def rebuild(encoder: Encoder, decoder: nn.Module, level: int) -> Callable[[Tensor], Tensor]:
    """Join encoder and decoder of `level` to a map of images (N, 3, H, W) in [0, 1]."""

    @torch.no_grad()
    def encode(image: Tensor) -> Tensor | list[Tensor]:
        return encoder.segment(image, 0, level) if level else encoder(image, 4)

    return lambda image: decoder(encode(image))


@torch.no_grad()
def reconstruction(rebuild: Callable[[Tensor], Tensor], held_out: Tensor) -> float:
    """Mean PSNR in dB of `rebuild`, image to image, over the pictures of `held_out` (N, 3, S, S) uint8."""
    images = map(to_image, held_out.split(CHUNK))
    return sum(sum(map(psnr, rebuild(image).clamp(0, 1), image)) for image in images) / len(held_out)


def _begin(
    plan: DecoderRun, encoder: Encoder, tensors: Mapping[str, Tensor], pictures: Pictures | None
) -> Decoder | PhotoDecoder:
    """Build the decoder as an earlier training left it in the folder, else in closed form on `pictures`.

    Without pictures its weights are random and follow from the seed; it samples up like a fitted one.
    """
    photo = plan.level == PHOTO
    stored = part(tensors, plan.name) if photo else decoder_part(tensors, plan.level)
    bottleneck = plan.settings.bottleneck
    if stored and not photo:
        bottleneck = bottleneck_of(stored, plan.level)
    finer = decoder_part(tensors, plan.level - 1)
    if not pictures:
        with torch.random.fork_rng():
            torch.manual_seed(plan.seed + 100 * plan.level)
            if photo:
                return PhotoDecoder(encoder.widths[:4])
            decoder = Decoder(encoder.widths, plan.level, upsampling_of(stored or finer), bottleneck)
            if bottleneck:
                decoder.load_state_dict({**decoder.state_dict(), **finer})
            return decoder
    if stored:
        return PhotoDecoder.from_state(stored) if photo else Decoder.from_state(stored, plan.level)
    rng = torch.Generator().manual_seed(plan.seed)
    source = Crops(pictures, min(START_PX, plan.settings.crop_px), (plan.seed, plan.level, _START))
    crops = torch.stack([torch.from_numpy(source[k][0]) for k in range(START_CROPS)])
    if not photo:
        return begin_decoder(plan.level, encoder, tensors, crops, rng, bottleneck)
    photo_decoder = PhotoDecoder(encoder.widths[:4])
    start_photo_decoder(photo_decoder, encoder, crops, rng)
    return photo_decoder
