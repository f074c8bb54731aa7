"""`texsynth train descriptor`: a Deep TEN head that tells textures apart, on a frozen encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.config.training import DescriptorSettings
from texsynth.errors import InputError, UsageError
from texsynth.models.descriptor import DescriptorHead
from texsynth.models.registry import load_model
from texsynth.models.vgg import Encoder
from texsynth.models.weights import write_weights
from texsynth.ops.resample import resize
from texsynth.training.checkpoint import Average, Learner
from texsynth.training.data import Picture, find_pictures, load_pictures
from texsynth.training.loop import LoopSettings, run
from texsynth.training.optimizer import Optimizer, autocast_for
from texsynth.training.run_folder import as_header, short_name

NETWORK = "descriptor.safetensors"
"""File of the finished head in a run folder, float16, with what it was trained by in its header."""

SPREAD = 2.0
"""Squared distance from one codeword to the next, over the smoothing, that assignments begin with."""


@dataclass(frozen=True)
class DescriptorRun:
    """Everything that decides the result of a training."""

    data: Path
    folder: Path
    settings: DescriptorSettings = field(default_factory=DescriptorSettings)
    seed: int = 0
    model: str = "lite"
    """The model whose encoder is read."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Further provenance for the header."""


def train_descriptor(
    plan: DescriptorRun,
    device: torch.device,
    *,
    resume: bool,
    report: Callable[[str], None],
    on_step: Callable[[int, Mapping[str, float]], None],
) -> Path:
    """Train in `plan.folder` so that crops of one texture are nearer to each other than to others.

    Returns the file of the finished head. Raises InputError without two usable training pictures, UsageError
    for levels that the encoder lacks or a checkpoint of other settings.
    """
    settings, model = plan.settings, load_model(plan.model, device)
    encoder = model.vgg()
    if settings.levels[-1] > len(encoder.widths):
        raise UsageError(f"model {plan.model} ends at level {len(encoder.widths)}; leave deeper levels out")
    plan.folder.mkdir(parents=True, exist_ok=True)
    pictures = load_pictures(find_pictures(plan.data, held_out=False), settings.crop_px)
    if len(pictures) < 2:
        raise InputError(f"there is one picture below {plan.data}; telling textures apart needs at least two")
    report(f"{len(pictures)} training textures")
    rng = torch.Generator().manual_seed(plan.seed)
    views = _Views(encoder, settings, device)
    head = _begin(plan, views(draw_pairs(pictures, settings, rng), rng)).to(device)
    origin = {
        **as_header(settings.model_dump(exclude={"save_every"})),
        "seed": str(plan.seed),
        "pictures": str(len(pictures)),
        "model": short_name(plan.model),
        "model_sha256": model.sha256,
    }
    average = Average(head, settings.ema) if settings.ema else None
    learner = Learner(head, Optimizer(head.parameters(), settings.rate, settings.rate), rng, average=average)

    def loss(rng: torch.Generator) -> dict[str, Tensor]:
        features = views(draw_pairs(pictures, settings, rng), rng)
        return {"contrast": contrastive(head(features), settings.temperature)}

    run(
        learner,
        loss,
        LoopSettings(
            settings.steps, warmup=settings.warmup, save_every=settings.save_every, batch=2 * settings.batch
        ),
        plan.folder / "descriptor.checkpoint",
        resume=resume,
        autocast=autocast_for(device),
        on_step=on_step,
        report=report,
        origin=origin,
    )
    out = plan.folder / NETWORK
    state = {f"descriptor.{key}": value for key, value in learner.result.state_dict().items()}
    write_weights(out, state, {**origin, **plan.notes})
    return out


def contrastive(descriptors: Tensor, temperature: float) -> Tensor:
    """How surely each crop finds its partner among all others (Chen et al. 2020, equation 1).

    descriptors: (2 B, size) of unit length; row B + k is the partner of row k. Returns a scalar.
    """
    similarity = descriptors @ descriptors.mT / temperature
    count = len(similarity)
    # A crop is no answer to itself.
    similarity = similarity.masked_fill(torch.eye(count, dtype=torch.bool, device=similarity.device), -1e4)
    partner = (torch.arange(count, device=similarity.device) + count // 2) % count
    return F.cross_entropy(similarity, partner)


class _Views:
    """Features of crops at random positions: the frozen part of the network."""

    def __init__(self, encoder: Encoder, settings: DescriptorSettings, device: torch.device) -> None:
        self.encoder, self.settings, self.device = encoder, settings, device
        self.autocast = autocast_for(device)

    @torch.no_grad()
    def __call__(self, crops: Tensor, rng: torch.Generator) -> list[Tensor]:
        """crops: (N, 3, c, c). Returns levels 1 to the deepest, each (N, C_l, 1, n) float32."""
        image = crops.to(self.device).contiguous(memory_format=torch.channels_last)
        with self.autocast():
            maps = self.encoder(image, self.settings.levels[-1])
        found = []
        for features in maps:
            flat = features.flatten(2)
            picked = torch.randperm(flat.shape[2], generator=rng)[: self.settings.positions]
            found.append(flat[:, :, None, picked.to(self.device)].float())
        return found


@torch.no_grad()
def _begin(plan: DescriptorRun, features: Sequence[Tensor]) -> DescriptorHead:
    """The head before the first step, which sees features of mean 0 and variance 1 and begins undecided."""
    settings = plan.settings
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        widths = {level: features[level - 1].shape[1] for level in settings.levels}
        head = DescriptorHead(widths, settings.codewords, settings.channels, settings.size)
        for level in settings.levels:
            values = features[level - 1].cpu().flatten(2).transpose(0, 1).flatten(1)
            reduce, encoding = head.reduce(level), head.encoding(level)
            reduce.weight.div_(values.std(1) + 1e-3)
            reduce.bias.sub_(reduce.weight @ values.mean(1))
            encoding.codewords.normal_(std=0.5)
            encoding.smoothing.fill_(SPREAD / settings.channels)
    return head


def draw_pairs(pictures: Sequence[Picture], settings: DescriptorSettings, rng: torch.Generator) -> Tensor:
    """Two crops of each of `settings.batch` different pictures, or of all when there are fewer.

    Returns (2 B, 3, c, c) in [0, 1]; crop B + k shows the same texture as crop k.
    """
    chosen = torch.randperm(len(pictures), generator=rng)[: settings.batch].tolist()
    pairs = [_pair(pictures[number], settings, rng) for number in chosen]
    return torch.stack([first for first, _ in pairs] + [second for _, second in pairs])


def _pair(picture: Picture, settings: DescriptorSettings, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    views = [_View(settings, rng) for _ in range(2)]
    if float(torch.rand((), generator=rng)) < settings.alike:
        views[1] = views[0]
    first, second = (view.of(picture, rng) for view in views)
    return first, second


class _View:
    """A distance and a light to see textures in."""

    def __init__(self, settings: DescriptorSettings, rng: torch.Generator) -> None:
        self.settings = settings
        self.scale = 2 ** _within(settings.scale, rng)
        self.gain, self.gamma = (2 ** _within(settings.light, rng) for _ in range(2))
        self.tint = torch.tensor([1 + _within(settings.tint, rng) for _ in range(3)])[:, None, None]

    def of(self, picture: Picture, rng: torch.Generator) -> Tensor:
        """A random crop, (3, c, c)."""
        side = self.settings.crop_px
        span = min(min(picture.shape[:2]), max(round(side / self.scale), side // 4))
        top, left = (_below(length - span + 1, rng) for length in picture.shape[:2])
        cut = torch.from_numpy(picture[top : top + span, left : left + span].copy())
        crop = resize(cut.permute(2, 0, 1)[None] / 255, side, side)[0]
        if _below(2, rng):
            crop = crop.flip(2)
        if self.settings.turn:
            crop = crop.rot90(_below(4, rng), (1, 2))
        return (crop**self.gamma * self.gain * self.tint).clamp(0, 1)


def _within(reach: float, rng: torch.Generator) -> float:
    """A random number from -reach to reach."""
    return reach * (2 * float(torch.rand((), generator=rng)) - 1)


def _below(limit: int, rng: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=rng))
