"""`texsynth train encoder`: cut the encoder out of the teacher, cache the teacher, distil."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from texsynth.errors import UsageError
from texsynth.models.hub.cache import file_hash
from texsynth.models.vgg import Encoder, channels_last, conv_names
from texsynth.models.weights import collect, part
from texsynth.training.checkpoint import Learner
from texsynth.training.closed_form import Report, cut_encoder
from texsynth.training.closed_form_decoders import begin_decoder
from texsynth.training.data import Picture, find_pictures, load_pictures, random_crops
from texsynth.training.distillation import Distillation, DistillationSettings
from texsynth.training.loop import LoopSettings, run
from texsynth.training.optimizer import Optimizer, autocast_for
from texsynth.training.teacher import Cache, build_cache, load_cache, load_teacher, save_cache

CUT_CROPS = 640
"""Crops for the closed-form start of the encoder; more did not change it."""

CACHE = "cache.safetensors"
"""File of the teacher's features in a run folder."""


@dataclass(frozen=True)
class EncoderRun:
    """Everything that decides the result of an encoder training."""

    data: Path
    teacher: Path
    folder: Path
    steps: int = 10000
    crops: int = 24000
    crop_px: int = 128
    widths: tuple[int, ...] = (16, 32, 64, 128, 128)
    kernel_rate: float = 4e-4
    rate: float = 3e-4
    seed: int = 0
    save_every: int = 100
    init: Path | None = None
    """Folder of an earlier run to improve, decoders included; None starts in closed form."""
    above: int = 0
    """Levels up to this one stay as they are, with their decoders."""
    loss: DistillationSettings = field(default_factory=DistillationSettings)

    def origin(self, pictures: int) -> dict[str, str]:
        """What cut and cache were made from, to recognise them on resume."""
        return {
            "teacher": file_hash(self.teacher),
            "pictures": str(pictures),
            "crops": f"{self.crops} of {self.crop_px}",
            "widths": str(self.widths),
            "seed": str(self.seed),
        }


def train_encoder(
    settings: EncoderRun,
    device: torch.device,
    *,
    resume: bool,
    report: Callable[[str], None],
    on_step: Callable[[int, Mapping[str, float]], None],
) -> Path:
    """Run all stages in `settings.folder`, reusing finished ones. Returns the encoder's file."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    pictures = load_pictures(find_pictures(settings.data, held_out=False), settings.crop_px + 32)
    origin = settings.origin(len(pictures))
    report(f"{len(pictures)} training pictures")
    start, cache = _prepare(settings, pictures, origin, report)
    rng = torch.Generator().manual_seed(settings.seed + 1)
    encoder = Encoder.from_state(part(start, "encoder"))
    wanted = [
        level for level, odds in enumerate(settings.loss.level_odds, 1) if odds and level > settings.above
    ]
    decoders = {level: begin_decoder(level, encoder, start, cache.crops[:320], rng) for level in wanted}
    report("decoders started")
    module = Distillation(encoder, decoders, cache)
    for block, index in conv_names(settings.above) if settings.above else []:
        encoder.conv(block, index).requires_grad_(False)
    module.fit_heads(cache)
    channels_last(module, device)
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = Optimizer(trained, settings.kernel_rate, settings.rate)
    run(
        Learner(module, optimizer, rng),
        lambda rng: module.losses(cache, settings.loss, device, rng),
        LoopSettings(settings.steps, save_every=settings.save_every),
        settings.folder / "encoder.checkpoint",
        resume=resume,
        autocast=autocast_for(device),
        on_step=on_step,
    )
    out = settings.folder / "encoder.safetensors"
    tensors = start | {f"encoder.{key}": value for key, value in encoder.state_dict().items()}
    for level, decoder in decoders.items():
        tensors |= {f"decoder{level}.{key}": value for key, value in decoder.state_dict().items()}
    save_file({key: value.contiguous() for key, value in tensors.items()}, out, metadata=origin)
    return out


def _prepare(
    settings: EncoderRun, pictures: list[Picture], origin: dict[str, str], report: Report
) -> tuple[dict[str, Tensor], Cache]:
    """Weights to start from and the teacher's cache, which may be there from an earlier run."""
    teacher = load_teacher(settings.teacher)
    if len(teacher.widths) != len(settings.widths) or any(
        narrow > wide for narrow, wide in zip(settings.widths, teacher.widths, strict=True)
    ):
        raise UsageError(
            f"widths {settings.widths} do not fit a teacher with {teacher.widths}; choose smaller ones"
        )
    start = collect(settings.init) if settings.init else _cut(settings, teacher, pictures, origin, report)
    for folder in (settings.folder, settings.init):
        cache = load_cache(folder / CACHE, origin) if folder else None
        if cache:
            return start, cache
    rng = torch.Generator().manual_seed(settings.seed)
    crops = random_crops(pictures, settings.crops, settings.crop_px, rng)
    cache = build_cache(teacher, crops, rng, lambda done, total: report(f"teacher: {done}/{total} crops"))
    save_cache(cache, settings.folder / CACHE, origin)
    return start, cache


def _cut(
    settings: EncoderRun, teacher: Encoder, pictures: list[Picture], origin: dict[str, str], report: Report
) -> dict[str, Tensor]:
    """The closed-form encoder, from the run folder when it is there."""
    file = settings.folder / "start.safetensors"
    if not (file.exists() and safe_open(file, "pt").metadata() == origin):
        rng = torch.Generator().manual_seed(settings.seed)
        crops = random_crops(pictures, min(CUT_CROPS, settings.crops), settings.crop_px, rng)
        student = cut_encoder(teacher, settings.widths, crops, rng, report)
        save_file(student.state_dict(), file, metadata=origin)
    return {f"encoder.{key}": value for key, value in load_file(file).items()}
