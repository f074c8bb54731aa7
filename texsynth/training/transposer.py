"""Train a Transposer: random crops expanded to their targets, judged by texture statistics."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from texsynth.config.training import TransposerSettings
from texsynth.errors import InputError, ModelError
from texsynth.metrics.losses import gram, random_directions, sliced_wasserstein
from texsynth.models.hub.cache import file_hash
from texsynth.models.registry import load_model
from texsynth.models.transposer_paper import PaperTransposer
from texsynth.models.transposers import TAPS_TEXT, load_network
from texsynth.models.vgg import Encoder, channels_last
from texsynth.models.weights import write_exact
from texsynth.training.checkpoint import Learner, as_header, check_fresh, short_name
from texsynth.training.data import DTD, Picture, distant_square, find_pictures, load_pictures, random_index
from texsynth.training.frechet import Inception, RunningGaussian, find_inception, frechet_term
from texsynth.training.inspection import Inspection
from texsynth.training.loop import LoopSettings, Session, run
from texsynth.training.optimizer import Optimizer, check_muon

INSPECTED = 64  # Most held-out pictures that the parts of a network are inspected on

JUDGED = 4  # Levels of the pretrained features that losses look at, relu1_1 to relu4_1

CRITIC_WIDTHS = (24, 48, 64)  # Channels of the critic's layers; each verdict sees about 30 pixels

NETWORK = "transposer.safetensors"
"""File of the finished network in a run folder, float32, with the settings of its training in its header."""


@dataclass(frozen=True)
class TransposerRun:
    """Everything that decides the result of a training."""

    data: Path | None  # Folder of pictures, or None for `dtd`
    folder: Path
    settings: TransposerSettings = field(default_factory=TransposerSettings)
    steps: int = 1500
    seed: int = 0
    init: Path | None = None  # Network of an earlier run to go on from; None starts anew
    features: str = "lite"
    """Model whose encoder the losses look through, and the pretrained encoder of `lite` variants."""
    save_every: int = 100
    dtd: Path | None = None  # Folder of the folder `dtd` with the Describable Textures Dataset


def train_transposer(plan: TransposerRun, session: Session) -> Path:
    """Train; return the network. Raises InputError without pictures, ModelError for a wrong `init`."""
    settings, device = plan.settings, session.device
    check_muon(settings.optimizer)
    checkpoint = plan.folder / "transposer.checkpoint"
    check_fresh(checkpoint, session.resume)
    files, least = texture_files(plan), 2 * settings.crop_px
    model = load_model(plan.features, device)
    inception = find_inception(device) if settings.frechet else None
    net = channels_last(begin_network(settings, plan.features, plan.seed, plan.init), device)
    plan.folder.mkdir(parents=True, exist_ok=True)
    pictures = load_pictures(files, least)
    session.report(f"{len(pictures)} training pictures")
    real: RunningGaussian | None = None
    seen = dict[str, str]()
    if settings.frechet:
        real = RunningGaussian.of_channels(
            inception.channels if inception else model.vgg().widths[JUDGED - 1]
        )
        own = f"relu{JUDGED}_1 of {short_name(plan.features)}"
        seen = {"frechet_features": inception.name if inception else own}
        session.report(f"Frechet distance of {seen['frechet_features']}")
    adversary = Adversary(plan.seed, device) if settings.critic else None
    losses = Losses(net, model.vgg(), adversary, settings, real, inception)

    def draw_losses(rng: torch.Generator) -> dict[str, Tensor]:
        return losses(draw(pictures, settings.batch, settings.crop_px, rng), rng)[1]

    looked_at = inspected_batch(plan, pictures)

    def look() -> tuple[Tensor, dict[str, Tensor]]:
        """Judge the same pictures with the same random numbers, and let nobody learn."""
        return losses(looked_at, torch.Generator().manual_seed(0), learn=False)

    inspect = Inspection(
        net,
        look,
        plan.folder / "transposer-parts.csv",
        plan.save_every,
        session.report,
    )
    optimizer = Optimizer(net.trained(), settings.kernel_rate, settings.rate, settings.optimizer)
    rng = torch.Generator().manual_seed(plan.seed)
    states = [state for state in (adversary, real) if state]
    learner = Learner(net, optimizer, rng, critic_state=Together(states) if real else adversary)
    origin = {
        **as_header(settings.model_dump()),
        **seen,
        "seed": str(plan.seed),
        "pictures": str(len(pictures)),
        "model_sha256": model.sha256,
    }
    loop = LoopSettings(plan.steps, schedule=settings.schedule, save_every=plan.save_every)
    run(learner, draw_losses, loop, checkpoint, session, inspect=inspect, origin=origin)
    header = {
        "layout": settings.layout,
        "taps": TAPS_TEXT,
        "settings": json.dumps(settings.model_dump()),
        **seen,
        "steps": str(plan.steps),
        "seed": str(plan.seed),
        "pictures": str(len(pictures)),
        "init": f"sha256 {file_hash(plan.init)}" if plan.init else "",
    }
    write_exact(plan.folder / NETWORK, net.state_dict(), header)
    return plan.folder / NETWORK


def texture_files(plan: TransposerRun, *, held_out: bool = False) -> Sequence[Path] | DTD:
    """List the pictures to train on, unread, or a few held-out ones. Raises InputError without any."""
    if plan.dtd:
        return DTD(plan.dtd, "val", INSPECTED) if held_out else DTD(plan.dtd, "train")
    assert plan.data is not None
    return find_pictures(plan.data, held_out=held_out)[: INSPECTED if held_out else None]


def inspected_batch(plan: TransposerRun, pictures: Sequence[Picture]) -> Tensor:
    """Draw a batch from held-out pictures, or from `pictures` where none is large enough."""
    settings = plan.settings
    with suppress(InputError):
        pictures = load_pictures(texture_files(plan, held_out=True), 2 * settings.crop_px)
    # Enough of them that what they share can be told from what is a picture's own.
    count = max(4, min(settings.batch, 8))
    return draw(pictures, count, settings.crop_px, torch.Generator().manual_seed(plan.seed))


def steps_of(plan: TransposerRun) -> int:
    """Length of a run by the epochs in its settings, or as the plan has it. Raises InputError."""
    epochs, batch = plan.settings.epochs, plan.settings.batch
    return math.ceil(epochs * len(texture_files(plan)) / batch) if epochs else plan.steps


def begin_network(settings: TransposerSettings, model: str, seed: int, init: Path | None) -> PaperTransposer:
    """Build the network before the first step: random from the seed, or as the file `init` left it.

    model: the one whose encoder `lite` is. Raises ModelError for an encoder that is not there or not deep
    enough, and for an `init` of another layout, encoder or width.
    """
    pretrained: Encoder | None = None
    if settings.encoder != "own":
        name = "vgg19" if settings.encoder == "vgg19" else model
        pretrained = load_model(name).vgg()
        if len(pretrained.widths) < 5:
            raise ModelError(
                f"model {name} has no relu5_1, which layout paper looks at; use another, like lite"
            )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = PaperTransposer.of_width(settings.width, pretrained)
    if init is None:
        return net
    begun, _ = load_network(str(init))
    if not isinstance(begun, PaperTransposer):
        raise ModelError(f"{init} is of layout copies, not paper; give a network of this command")
    shapes, wanted = ({key: value.shape for key, value in n.state_dict().items()} for n in (begun, net))
    if shapes != wanted:
        raise ModelError(
            f"{init} has not encoder {settings.encoder} and width {settings.width:g}; "
            "give the preset and the settings that it was trained with"
        )
    net.load_state_dict(begun.state_dict())
    return net


def draw(pictures: Sequence[Picture], count: int, crop: int, rng: torch.Generator) -> Tensor:
    """Draw targets (count, 3, 2 * crop, 2 * crop) in [0, 1]; the exemplar of each is its middle."""
    picked = [pictures[random_index(len(pictures), rng)] for _ in range(count)]
    targets = [distant_square(picture, 2 * crop, rng) for picture in picked]
    flips = (torch.rand(count, 3, generator=rng) < 0.5).tolist()
    return torch.stack([_flipped(t, *f) for t, f in zip(targets, flips, strict=True)])


def _flipped(image: Tensor, across: bool, down: bool, turn: bool) -> Tensor:
    if across:
        image = image.flip(2)
    if down:
        image = image.flip(1)
    return image.transpose(1, 2) if turn else image


@dataclass(frozen=True)
class Losses:
    """The terms of one step."""

    net: PaperTransposer
    judge: Encoder
    adversary: Adversary | None
    settings: TransposerSettings
    real: RunningGaussian | None = None  # Features of all targets so far, for the Frechet distance
    inception: Inception | None = None
    """What the Frechet distance looks through in the place of the judge's deepest features."""

    def __call__(
        self, target: Tensor, rng: torch.Generator, *, learn: bool = True
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Expand the middles of targets (N, 3, 2 c, 2 c) and compare. Returns pictures and weighted terms.

        learn: teach the critic, and count the targets among the real ones.
        """
        target = target.to(next(self.judge.parameters()).device)
        crop = target.shape[2] // 2
        inside = slice(crop // 2, crop // 2 + crop)
        image: Tensor = self.net(target[..., inside, inside])
        terms: dict[str, Tensor] = {}
        settings = self.settings
        with torch.no_grad():
            goals = [f.float() for f in self.judge(target, JUDGED)]
        features = [f.float() for f in self.judge(image, JUDGED)]
        if settings.gram:
            terms["gram"] = settings.gram * gram_term(features, goals)
        if settings.wasserstein:
            terms["wasserstein"] = settings.wasserstein * wasserstein_term(features, goals, settings, rng)
        if settings.perceptual:
            terms["perceptual"] = settings.perceptual * perceptual_term(features, goals)
        if self.real:
            see = self.inception
            pair = (see(image), see(target)) if see else (features[-1], goals[-1])
            terms["frechet"] = settings.frechet * frechet_term(*pair, self.real, learn=learn)
        if self.adversary:
            if learn:
                self.adversary.learn(target, image)
            terms["critic"] = settings.critic * self.adversary.judge(image)
        return image, terms


def gram_term(features: Sequence[Tensor], goals: Sequence[Tensor]) -> Tensor:
    """Equation 2 of paper 004 over the levels, each relative to the goal's mean entry, per picture."""
    terms = []
    for f, g in zip(features, goals, strict=True):
        goal = gram(g)
        scale = goal.abs().mean((1, 2), keepdim=True).clamp_min(1e-6)
        terms.append(((gram(f) - goal) / scale).abs().mean())
    return _mean(terms)


def wasserstein_term(
    features: Sequence[Tensor], goals: Sequence[Tensor], settings: TransposerSettings, rng: torch.Generator
) -> Tensor:
    """Equation 3 over the levels, each relative to the goal's variance, at randomly drawn positions.

    With `settings.regions` above 1 positions are tagged by the part of the picture they lie in.
    """
    terms = []
    for f, g in zip(features, goals, strict=True):
        height, width = f.shape[2:]
        picked = torch.randperm(height * width, generator=rng)[: settings.samples].to(f.device)
        rows, columns = picked // width, picked % width
        k = settings.regions
        tags = rows * k // height * k + columns * k // width if k > 1 else None
        scale = g.var((2, 3), keepdim=True).mean((1,), keepdim=True).clamp_min(1e-4).sqrt()
        directions = random_directions(settings.directions, f.shape[1], rng, f)
        a, b = ((x / scale).flatten(2).index_select(2, picked) for x in (f, g))
        # Directions of unit length see 1 / C of the summed variance each.
        terms.append(sliced_wasserstein(a, b, directions, tags))
    return _mean(terms)


def perceptual_term(features: Sequence[Tensor], goals: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference, place by place, of the two deepest levels, relative to the goal's mean."""
    pairs = zip(features[-2:], goals[-2:], strict=True)
    return _mean([(f - g).abs().mean() / g.abs().mean().clamp_min(1e-6) for f, g in pairs])


def _mean(terms: Sequence[Tensor]) -> Tensor:
    return sum(terms[1:], terms[0]) / len(terms)


class PatchCritic(nn.Module):
    """Map a picture to a verdict for each patch; every layer is 1-Lipschitz (Miyato et al. 2018)."""

    def __init__(self) -> None:
        """Draw random weights."""
        super().__init__()
        layers: list[nn.Module] = []
        for before, width, stride in zip((3, *CRITIC_WIDTHS), CRITIC_WIDTHS, (2, 2, 1), strict=False):
            layers += [spectral_norm(nn.Conv2d(before, width, 4, stride, 1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(CRITIC_WIDTHS[-1], 1, 3, 1, 1)))

    def forward(self, image: Tensor) -> Tensor:
        """Judge images (N, 3, H, W) in [0, 1]. Returns (N, 1, about H / 4, about W / 4), above 0 for real."""
        verdict: Tensor = self.layers(2 * image - 1)
        return verdict


class Adversary:
    """A critic that learns beside the network it judges; its state is part of a checkpoint."""

    def __init__(self, seed: int, device: torch.device, rate: float = 4e-4) -> None:
        """seed: decides the first weights. rate: Adam's learning rate."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.net = PatchCritic().to(device)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=rate, betas=(0.0, 0.9))

    def learn(self, real: Tensor, fake: Tensor) -> Tensor:
        """Take one step of the critic's hinge loss on (N, 3, H, W) pictures. Returns the loss, detached."""
        with torch.autocast(real.device.type, enabled=False):
            self.net.requires_grad_(True)
            of_real, of_fake = self.net(real.float()), self.net(fake.detach().float())
            loss = F.relu(1 - of_real).mean() + F.relu(1 + of_fake).mean()
            if bool(loss.isfinite()):  # a step with anything else would spoil the critic for ever
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
            return loss.detach()

    def judge(self, fake: Tensor) -> Tensor:
        """Return minus the mean verdict, a scalar that the generator minimises."""
        with torch.autocast(fake.device.type, enabled=False):
            self.net.requires_grad_(False)
            verdict: Tensor = -self.net(fake.float()).mean()
            return verdict

    def state_dict(self) -> dict[str, Any]:
        """Return the states of weights and optimizer."""
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])


@dataclass(frozen=True)
class Together:
    """Several states as one part of a checkpoint."""

    parts: Sequence[Any]

    def state_dict(self) -> dict[str, Any]:
        """Return the states by their place."""
        return {str(k): part.state_dict() for k, part in enumerate(self.parts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore all."""
        for k, part in enumerate(self.parts):
            part.load_state_dict(state[str(k)])
