"""Train an encoder: cut it out of the teacher, cache the teacher's features, distil.

Together with the encoder decoders are trained, which keep it invertible. The loss has three terms: the
teacher's principal components from the student's features by one linear head per level (distillation), the
image from the features (reconstruction), and the features of that image (cycle). The transforms feed decoders
features that no encoder produced, so the cycle counts from the first step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from texsynth.errors import UsageError
from texsynth.models.autoencoder import Decoder
from texsynth.models.hub.cache import file_hash
from texsynth.models.vgg import LEVELS, Encoder, channels_last, conv_names
from texsynth.models.weights import collect, part, prefixed, read_weights, write_exact
from texsynth.paths import exists
from texsynth.training.checkpoint import ENCODER, Learner, check_fresh
from texsynth.training.closed_form import Report, begin_decoder, cut_encoder, regress
from texsynth.training.data import Picture, find_pictures, load_pictures, random_crops, to_image
from texsynth.training.decoder import cycle_terms
from texsynth.training.loop import LoopSettings, Session, run
from texsynth.training.optimizer import Optimizer, check_muon
from texsynth.training.teacher import Cache, build_cache, gather, load_cache, load_teacher, save_cache

CUT_CROPS = 640  # Crops for the closed-form start of the encoder; more did not change it

CACHE = "cache.safetensors"  # File of the teacher's features in a run folder


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
    above: int = 0  # Levels up to this one stay as they are, with their decoders
    batch: int = 16
    decoded: int = 8
    """Pictures of the batch that are also decoded; the rest only distil, at half the cost."""
    reconstruction: float = 10.0
    cycle: float = 2.0
    level_weights: tuple[float, ...] = (2.0, 1.0, 2.0, 1.0, 1.5)
    """Weights of the levels in the distillation."""
    level_odds: tuple[float, ...] = (0.06, 0.14, 0.3, 0.3, 0.2)
    """Odds that the decoder of levels 1, 2, ... is the one trained in a step; at 0 it is not needed."""


def train_encoder(plan: EncoderRun, session: Session) -> Path:
    """Run all stages in `plan.folder`, reusing finished ones. Returns the encoder's file."""
    check_muon()
    check_fresh(plan.folder / "encoder.checkpoint", session.resume)
    plan.folder.mkdir(parents=True, exist_ok=True)
    pictures = load_pictures(find_pictures(plan.data, held_out=False), plan.crop_px + 32)
    origin = {
        "teacher": file_hash(plan.teacher),
        "pictures": str(len(pictures)),
        "crops": f"{plan.crops} of {plan.crop_px}",
        "widths": str(plan.widths),
        "seed": str(plan.seed),
    }
    session.report(f"{len(pictures)} training pictures")
    start, cache = _prepare(plan, pictures, origin, session.report)
    rng = torch.Generator().manual_seed(plan.seed + 1)
    encoder = Encoder.from_state(part(start, "encoder"))
    levels = [level for level, odds in enumerate(plan.level_odds, 1) if odds and level > plan.above]
    decoders = {level: begin_decoder(level, encoder, start, cache.crops[:320], rng) for level in levels}
    session.report("decoders started")
    module = Distillation(encoder, decoders, cache)
    for block, index in conv_names(plan.above) if plan.above else []:
        encoder.conv(block, index).requires_grad_(False)
    module.fit_heads(cache)
    channels_last(module, session.device)
    trained = [p for p in module.parameters() if p.requires_grad]
    run(
        Learner(module, Optimizer(trained, plan.kernel_rate, plan.rate), rng),
        lambda rng: module.losses(cache, plan, session.device, rng),
        LoopSettings(plan.steps, save_every=plan.save_every),
        plan.folder / "encoder.checkpoint",
        session,
    )
    tensors = start | prefixed("encoder", encoder.state_dict())
    for level, decoder in decoders.items():
        tensors |= prefixed(f"decoder{level}", decoder.state_dict())
    write_exact(plan.folder / ENCODER, tensors, origin)
    return plan.folder / ENCODER


def _prepare(
    plan: EncoderRun, pictures: Sequence[Picture], origin: dict[str, str], report: Report
) -> tuple[dict[str, Tensor], Cache]:
    """Return weights to start from, and the teacher's cache, which may exist from an earlier run."""
    teacher = load_teacher(plan.teacher)
    if len(teacher.widths) != len(plan.widths) or any(
        narrow > wide for narrow, wide in zip(plan.widths, teacher.widths, strict=True)
    ):
        raise UsageError(
            f"widths {plan.widths} do not fit a teacher with {teacher.widths}; choose smaller ones"
        )
    if plan.init:
        start = collect(plan.init)
    else:
        # In closed form, from the run folder when it is there.
        file = plan.folder / "start.safetensors"
        if not (exists(file) and read_weights(file)[1] == origin):
            rng = torch.Generator().manual_seed(plan.seed)
            crops = random_crops(pictures, min(CUT_CROPS, plan.crops), plan.crop_px, rng)
            student = cut_encoder(teacher, plan.widths, crops, rng, report)
            write_exact(file, student.state_dict(), origin)
        start = prefixed("encoder", read_weights(file)[0])
    for folder in (plan.folder, plan.init):
        if folder and (cache := load_cache(folder / CACHE, origin)):
            return start, cache
    rng = torch.Generator().manual_seed(plan.seed)
    crops = random_crops(pictures, plan.crops, plan.crop_px, rng)
    cache = build_cache(teacher, crops, rng, lambda done, total: report(f"teacher: {done}/{total} crops"))
    save_cache(cache, plan.folder / CACHE, origin)
    return start, cache


class Distillation(nn.Module):
    """Encoder, one linear head per level, and some decoders."""

    def __init__(self, encoder: Encoder, decoders: dict[int, Decoder], cache: Cache) -> None:
        """decoders: by level. cache: targets of the heads; only its sizes are used here."""
        super().__init__()
        self.encoder = encoder
        self.decoders = nn.ModuleDict({str(level): decoder for level, decoder in decoders.items()})
        self.heads = nn.ModuleList(
            nn.Linear(width, target.shape[2])
            for width, target in zip(encoder.widths, cache.targets, strict=True)
        )

    @torch.no_grad()
    def fit_heads(self, cache: Cache, count: int = 512) -> None:
        """Set the heads by regression on the first `count` crops of the cache."""
        pooled: list[list[Tensor]] = [[] for _ in LEVELS]
        for index in torch.arange(min(count, len(cache.crops))).split(32):
            features = self.encoder(to_image(cache.crops[index]))
            for k, f in enumerate(features):
                pooled[k].append(gather(f, cache.positions[k][index]).flatten(0, 1))
        for k, head in enumerate(self.heads):
            assert isinstance(head, nn.Linear)
            x, y = torch.cat(pooled[k]), cache.targets[k][:count].flatten(0, 1).float()
            weight, bias = regress(x, y, 1e-5)
            head.weight.copy_(weight.T)
            head.bias.copy_(bias)

    def losses(
        self, cache: Cache, plan: EncoderRun, device: torch.device, rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw a batch and a level. Returns `distillation`; with decoders `reconstruction` and `cycle`."""
        index = torch.randint(len(cache.crops), (plan.batch,), generator=rng)
        odds = torch.tensor([plan.level_odds[int(level) - 1] for level in self.decoders])
        level = list(self.decoders)[int(torch.multinomial(odds, 1, generator=rng))] if len(odds) else None
        image = to_image(cache.crops[index], device)
        features = self.encoder(image)
        total = image.new_zeros(())
        for k, f in enumerate(features):
            guess = self.heads[k](gather(f, cache.positions[k][index].to(device)))
            error = guess.float() - cache.targets[k][index].to(device).float()
            total = total + plan.level_weights[k] * error.square().sum(2).mean() / cache.variance[k]
        terms = {"distillation": total}
        if level:
            x, f = image[: plan.decoded], features[int(level) - 1][: plan.decoded]
            rebuilt, cycle = cycle_terms(self.encoder, self.decoders[level], f, int(level), x, "relative")
            terms |= {"reconstruction": plan.reconstruction * rebuilt, "cycle": plan.cycle * cycle}
        return terms
