"""`texsynth train decoder`: train one decoder, or the photo decoder, on a frozen encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from texsynth.models.autoencoder import Decoder, PhotoDecoder, upsampling_of
from texsynth.models.vgg import Encoder, channels_last
from texsynth.models.weights import collect, part
from texsynth.training.average import Average
from texsynth.training.checkpoint import Learner
from texsynth.training.closed_form_decoders import begin_decoder, start_photo_decoder
from texsynth.training.crops import KEPT_BYTES, Crops, Feed, Pictures, held_out_crops
from texsynth.training.data import intensify, to_image
from texsynth.training.decoder_losses import losses, rebuild
from texsynth.training.decoder_plan import PHOTO, DecoderRun
from texsynth.training.loop import LoopSettings, run
from texsynth.training.metrics import reconstruction
from texsynth.training.optimizer import Optimizer
from texsynth.training.precision import autocast_for, scaler_for
from texsynth.training.run_folder import write_exact

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
