"""`texsynth train decoder`: finish one decoder, or the photo decoder, on a frozen encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from texsynth.models.autoencoder import PhotoDecoder
from texsynth.models.vgg import Encoder, channels_last
from texsynth.models.weights import collect, part
from texsynth.training.closed_form_decoders import begin_decoder, start_photo_decoder
from texsynth.training.data import find_pictures, intensify, load_pictures, random_crops, to_image
from texsynth.training.distillation import IMAGE_VARIANCE, cycle_terms
from texsynth.training.loop import LoopSettings, autocast_for, run
from texsynth.training.optimizer import Optimizer


@dataclass(frozen=True)
class DecoderRun:
    """Everything that decides the result of a decoder training."""

    data: Path
    folder: Path
    """Run folder with `encoder.safetensors`, which may hold decoders to start from."""
    level: int
    """1..5, or 0 for the photo decoder."""
    steps: int = 1000
    batch: int = 16
    crop_px: int = 128
    kernel_rate: float = 2.5e-4
    rate: float = 3e-4
    reconstruction: float = 1.0
    cycle: float = 1.0
    seed: int = 0

    @property
    def name(self) -> str:
        """Name of the decoder in weight files."""
        return f"decoder{self.level}" if self.level else "photo"


def train_decoder(
    settings: DecoderRun,
    device: torch.device,
    *,
    resume: bool,
    report: Callable[[str], None],
    on_step: Callable[[int, Mapping[str, float]], None],
) -> Path:
    """Train against (002, eq. 28): image and feature reconstruction. Returns the decoder's file."""
    tensors = collect(settings.folder)
    out = settings.folder / f"{settings.name}.safetensors"
    encoder = Encoder.from_state(part(tensors, "encoder")).requires_grad_(False)
    pictures = load_pictures(find_pictures(settings.data, held_out=False), settings.crop_px + 32)
    rng = torch.Generator().manual_seed(settings.seed + 100 * settings.level)
    module = _start(settings, encoder, tensors, random_crops(pictures, 320, 128, rng))
    report(f"{settings.name} on {len(pictures)} training pictures")
    for net in (encoder, module):
        channels_last(net, device)
    losses = _photo_losses if settings.level == 0 else _level_losses

    def draw(rng: torch.Generator) -> dict[str, Tensor]:
        crops = random_crops(pictures, settings.batch, settings.crop_px, rng)
        vivid = intensify(to_image(crops[: len(crops) // 4], device), rng)
        image = torch.cat([vivid, to_image(crops[len(crops) // 4 :], device)])
        image = image.contiguous(memory_format=torch.channels_last)
        return losses(encoder, module, image, settings)

    run(
        module,
        draw,
        Optimizer(module.parameters(), settings.kernel_rate, settings.rate),
        LoopSettings(settings.steps),
        rng,
        settings.folder / f"{settings.name}.checkpoint",
        resume=resume,
        autocast=autocast_for(device),
        on_step=on_step,
    )
    save_file({f"{settings.name}.{key}": v.contiguous() for key, v in module.state_dict().items()}, out)
    return out


def _start(settings: DecoderRun, encoder: Encoder, tensors: dict[str, Tensor], crops: Tensor) -> nn.Module:
    """The decoder as an earlier training left it, else in closed form."""
    rng = torch.Generator().manual_seed(settings.seed)
    if settings.level == 0:
        given = part(tensors, "photo")
        if given:
            return PhotoDecoder.from_state(given)
        decoder = PhotoDecoder(encoder.widths[:4])
        start_photo_decoder(decoder, encoder, crops, rng)
        return decoder
    return begin_decoder(settings.level, encoder, tensors, crops, rng)


def _level_losses(
    encoder: Encoder, decoder: nn.Module, image: Tensor, settings: DecoderRun
) -> dict[str, Tensor]:
    with torch.no_grad():
        features = encoder.segment(image, 0, settings.level)
    rebuilt, cycle = cycle_terms(encoder, decoder, features, settings.level, image)
    return {"reconstruction": settings.reconstruction * rebuilt, "cycle": settings.cycle * cycle}


def _photo_losses(
    encoder: Encoder, decoder: nn.Module, image: Tensor, settings: DecoderRun
) -> dict[str, Tensor]:
    with torch.no_grad():
        features = encoder(image, 4)
    rebuilt = decoder(features)
    return {"reconstruction": settings.reconstruction * F.mse_loss(rebuilt.float(), image) / IMAGE_VARIANCE}
