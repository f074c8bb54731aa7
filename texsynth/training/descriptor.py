"""Train the descriptor: a Deep TEN head that tells textures apart, on a frozen encoder."""

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
from texsynth.models.weights import prefixed, write_weights
from texsynth.ops.resample import resize
from texsynth.training.checkpoint import Learner, as_header, check_fresh, running_average, short_name
from texsynth.training.data import Picture, find_pictures, load_pictures, random_index, random_square
from texsynth.training.loop import LoopSettings, Session, run
from texsynth.training.optimizer import Optimizer, autocast_for

NETWORK = "descriptor.safetensors"
"""File of the finished head in a run folder, float16, with the settings of its training in its header."""

SPREAD = 2.0
"""Squared distance from one codeword to the next, over the smoothing, that assignments begin with."""


@dataclass(frozen=True)
class DescriptorRun:
    """Everything that decides the result of a training."""

    data: Path
    folder: Path
    settings: DescriptorSettings = field(default_factory=DescriptorSettings)
    seed: int = 0
    model: str = "lite"  # The model whose encoder is read
    notes: Mapping[str, str] = field(default_factory=dict)  # Further provenance for the header


def train_descriptor(plan: DescriptorRun, session: Session) -> Path:
    """Train so that crops of one texture are nearer to each other than to others. Returns the file.

    Raises InputError without two usable pictures, UsageError for levels or settings that do not fit.
    """
    check_fresh(plan.folder / "descriptor.checkpoint", session.resume)
    settings, device = plan.settings, session.device
    model = load_model(plan.model, device)
    encoder = model.vgg()
    if settings.levels[-1] > len(encoder.widths):
        raise UsageError(f"model {plan.model} ends at level {len(encoder.widths)}; leave deeper levels out")
    plan.folder.mkdir(parents=True, exist_ok=True)
    pictures = load_pictures(find_pictures(plan.data, held_out=False), settings.crop_px)
    if len(pictures) < 2:
        raise InputError(f"there is one picture below {plan.data}; telling textures apart needs at least two")
    session.report(f"{len(pictures)} training textures")
    rng = torch.Generator().manual_seed(plan.seed)

    def draw_features(rng: torch.Generator) -> list[Tensor]:
        return random_features(encoder, draw_pairs(pictures, settings, rng).to(device), settings, rng)

    head = _begin(plan, draw_features(rng)).to(device)

    def loss(rng: torch.Generator) -> dict[str, Tensor]:
        return {"contrast": contrastive(head(draw_features(rng)), settings.temperature)}

    optimizer = Optimizer(head.parameters(), settings.rate, settings.rate)
    average = running_average(head, settings.ema) if settings.ema else None
    learner = Learner(head, optimizer, rng, average=average)
    origin = {
        **as_header(settings.model_dump(exclude={"save_every"})),
        "seed": str(plan.seed),
        "pictures": str(len(pictures)),
        "model": short_name(plan.model),
        "model_sha256": model.sha256,
    }
    loop = LoopSettings.of(settings, batch=2 * settings.batch)
    run(learner, loss, loop, plan.folder / "descriptor.checkpoint", session, origin=origin)
    out = plan.folder / NETWORK
    write_weights(out, prefixed("descriptor", learner.result.state_dict()), {**origin, **plan.notes})
    return out


def contrastive(descriptors: Tensor, temperature: float) -> Tensor:
    """Cross entropy of picking each crop's partner among all others (Chen et al. 2020, equation 1).

    descriptors: (2 B, size) of unit length; row B + k is the partner of row k. Returns a scalar.
    """
    similarity = descriptors @ descriptors.mT / temperature
    count = len(similarity)
    # A crop is no answer to itself.
    similarity = similarity.masked_fill(torch.eye(count, dtype=torch.bool, device=similarity.device), -1e4)
    partner = (torch.arange(count, device=similarity.device) + count // 2) % count
    return F.cross_entropy(similarity, partner)


@torch.no_grad()
def random_features(
    encoder: Encoder, crops: Tensor, settings: DescriptorSettings, rng: torch.Generator
) -> list[Tensor]:
    """Sample features of crops (N, 3, c, c): levels 1 to the deepest, each (N, C_l, 1, n) float32."""
    with autocast_for(crops.device)():
        maps = encoder(crops.contiguous(memory_format=torch.channels_last), settings.levels[-1])
    sampled = []
    for features in maps:
        flat = features.flatten(2)
        picked = torch.randperm(flat.shape[2], generator=rng)[: settings.positions]
        sampled.append(flat[:, :, None, picked.to(crops.device)].float())
    return sampled


@torch.no_grad()
def _begin(plan: DescriptorRun, features: Sequence[Tensor]) -> DescriptorHead:
    """Build the head so that it sees features of mean 0 and variance 1, and begins undecided."""
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
    """Cut two crops of each of `settings.batch` different pictures; crop B + k shows the texture of crop k.

    Returns (2 B, 3, c, c) in [0, 1]; B is smaller when there are fewer pictures.
    """
    pairs = []
    for number in torch.randperm(len(pictures), generator=rng)[: settings.batch].tolist():
        first, second = _draw_view(settings, rng), _draw_view(settings, rng)
        if float(torch.rand((), generator=rng)) < settings.same_view:
            second = first
        pairs.append([view(pictures[number]) for view in (first, second)])
    return torch.stack([first for first, _ in pairs] + [second for _, second in pairs])


def _draw_view(settings: DescriptorSettings, rng: torch.Generator) -> Callable[[Picture], Tensor]:
    """Draw a distance and a light; return what cuts a random square seen that way, (3, c, c) in [0, 1]."""

    def within(reach: float) -> float:
        return reach * (2 * float(torch.rand((), generator=rng)) - 1)

    scale, gain, gamma = (2 ** within(r) for r in (settings.scale, settings.light, settings.light))
    tint = torch.tensor([1 + within(settings.tint) for _ in range(3)])[:, None, None]
    side = settings.crop_px

    def crop(picture: Picture) -> Tensor:
        span = min(min(picture.shape[:2]), max(round(side / scale), side // 4))
        image = resize(random_square(picture, span, rng)[None] / 255, side, side)[0]
        if random_index(2, rng):
            image = image.flip(2)
        if settings.rotate:
            image = image.rot90(random_index(4, rng), (1, 2))
        return (image**gamma * gain * tint).clamp(0, 1)

    return crop
