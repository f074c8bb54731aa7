"""`texsynth train transposer`: random crops expanded to their targets, judged by texture statistics."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from texsynth.config.settings import TransposerSettings
from texsynth.errors import ModelError
from texsynth.metrics.losses import gram, random_directions, sliced_wasserstein
from texsynth.models.hub.cache import file_hash
from texsynth.models.registry import load_model
from texsynth.models.transposer import OWN_WIDTHS, Transposer, lay_out, load_transposer
from texsynth.models.transposer_parts import OwnEncoder
from texsynth.models.vgg import Encoder, channels_last
from texsynth.training.checkpoint import Learner
from texsynth.training.data import Picture, find_pictures, load_pictures
from texsynth.training.loop import LoopSettings, run
from texsynth.training.optimizer import Optimizer, autocast_for
from texsynth.training.transposer_data import Batch, draw

JUDGED = 4
"""Levels of the pretrained features that losses look at, relu1_1 to relu4_1."""

NETWORK = "transposer.safetensors"
"""File of the finished network in a run folder, float32, with what it was trained by in its header."""


@dataclass(frozen=True)
class TransposerRun:
    """Everything that decides the result of a training."""

    data: Path
    folder: Path
    settings: TransposerSettings = field(default_factory=TransposerSettings)
    steps: int = 1500
    seed: int = 0
    init: Path | None = None
    """Network of an earlier run to go on from; None starts anew."""
    features: str = "lite"
    """Model whose encoder the losses look through, and the pretrained encoder of `lite` variants."""
    save_every: int = 100
    rescues: int = 5


def train_transposer(
    run_settings: TransposerRun,
    device: torch.device,
    *,
    resume: bool,
    report: Callable[[str], None],
    on_step: Callable[[int, Mapping[str, float]], None],
) -> Path:
    """Train in `run_settings.folder`. Returns the file of the finished network.

    Raises InputError without training pictures, ModelError for an `init` that is no Transposer.
    """
    settings = run_settings.settings
    run_settings.folder.mkdir(parents=True, exist_ok=True)
    pictures = load_pictures(find_pictures(run_settings.data, held_out=False), 2 * settings.crop_px)
    report(f"{len(pictures)} training pictures and procedural ones")
    judge = load_model(run_settings.features, device).vgg()
    net = channels_last(_begin(run_settings), device)
    adversary = Adversary(run_settings.seed, device) if settings.critic else None
    losses = Losses(net, judge, adversary, settings)

    def draw_losses(rng: torch.Generator) -> dict[str, Tensor]:
        return losses(draw(pictures, settings.batch, settings.crop_px, settings.procedural, rng), rng)

    run(
        Learner(
            net,
            Optimizer(net.trained(), settings.kernel_rate, settings.rate),
            torch.Generator().manual_seed(run_settings.seed),
            companion=adversary,
        ),
        draw_losses,
        LoopSettings(run_settings.steps, save_every=run_settings.save_every, rescues=run_settings.rescues),
        run_settings.folder / "transposer.checkpoint",
        resume=resume,
        autocast=autocast_for(device),
        on_step=on_step,
        report=report,
    )
    return _finish(run_settings, net, pictures)


def _begin(run_settings: TransposerRun) -> Transposer:
    """The network before the first step: random from the seed, or as an earlier run left it."""
    own = run_settings.settings.encoder == "own"
    if run_settings.init:
        net = load_transposer(str(run_settings.init))
        if net.own != own:
            kind = "its own" if net.own else "a pretrained"
            raise ModelError(
                f"{run_settings.init} has {kind} encoder, not `{run_settings.settings.encoder}`; "
                "give the preset that it was trained with"
            )
        net.requires_grad_(True)
        if not own:
            net.encoder.requires_grad_(False)
        return net
    with torch.random.fork_rng():
        torch.manual_seed(run_settings.seed)
        if own:
            return Transposer(OwnEncoder(OWN_WIDTHS))
        pretrained = load_model(run_settings.features).vgg()
        shallow = Encoder(pretrained.widths[:JUDGED])
        shallow.load_state_dict(pretrained.state_dict(), strict=False)
        return Transposer(shallow)


def _finish(run_settings: TransposerRun, net: Transposer, pictures: Sequence[Picture]) -> Path:
    out = run_settings.folder / NETWORK
    header = {
        "settings": json.dumps(run_settings.settings.model_dump()),
        "steps": str(run_settings.steps),
        "seed": str(run_settings.seed),
        "pictures": str(len(pictures)),
        "init": f"sha256 {file_hash(run_settings.init)}" if run_settings.init else "",
    }
    save_file(
        {key: v.detach().cpu().contiguous() for key, v in net.state_dict().items()}, out, metadata=header
    )
    return out


@dataclass(frozen=True)
class Losses:
    """The terms of one step."""

    net: Transposer
    judge: Encoder
    adversary: Adversary | None
    settings: TransposerSettings

    def __call__(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Expand the exemplars, teach the critic, and compare with the targets. Weighted terms by name."""
        settings = self.settings
        device = next(self.judge.parameters()).device
        target, exemplar = batch.target.to(device), batch.exemplar.to(device)
        size = (target.shape[2], target.shape[3])
        layouts = lay_out(exemplar, size, rng, origins=batch.origins)
        image, copied = self.net(exemplar, layouts)
        with torch.no_grad():
            wanted = [f.float() for f in self.judge(target, JUDGED)]
        made = [f.float() for f in self.judge(image, JUDGED)]
        terms = {"residual": settings.residual * (image - copied).abs().mean()}
        if settings.gram:
            terms["gram"] = settings.gram * gram_term(made, wanted)
        if settings.wasserstein:
            terms["wasserstein"] = settings.wasserstein * wasserstein_term(made, wanted, settings, rng)
        if settings.perceptual:
            terms["perceptual"] = settings.perceptual * perceptual_term(made, wanted)
        if self.adversary:
            self.adversary.learn(target, image)
            terms["critic"] = settings.critic * self.adversary.judge(image)
        return terms


def gram_term(made: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Equation 2 of paper 004 over the levels, each relative to the target's mean entry, per picture."""
    total = made[0].new_zeros(())
    for f, g in zip(made, wanted, strict=True):
        mine, theirs = gram(f), gram(g)
        scale = theirs.abs().mean((1, 2), keepdim=True).clamp_min(1e-6)
        total = total + ((mine - theirs) / scale).abs().mean()
    return total / len(made)


def wasserstein_term(
    made: Sequence[Tensor], wanted: Sequence[Tensor], settings: TransposerSettings, rng: torch.Generator
) -> Tensor:
    """Equation 3 over the levels, each relative to the target's variance, at randomly drawn positions.

    With `settings.regions` above 1 positions are tagged by the part of the picture they lie in.
    """
    total = made[0].new_zeros(())
    for f, g in zip(made, wanted, strict=True):
        height, width = f.shape[2:]
        picked = torch.randperm(height * width, generator=rng)[: settings.samples].to(f.device)
        rows, columns = picked // width, picked % width
        k = settings.regions
        tags = rows * k // height * k + columns * k // width if k > 1 else None
        scale = g.var((2, 3), keepdim=True).mean((1,), keepdim=True).clamp_min(1e-4).sqrt()
        directions = random_directions(settings.directions, f.shape[1], rng, f)
        a, b = ((x / scale).flatten(2).index_select(2, picked) for x in (f, g))
        # Directions of unit length see 1 / C of the summed variance each.
        total = total + sliced_wasserstein(a, b, directions, tags, tags)
    return total / len(made)


def perceptual_term(made: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference place by place of the two deepest levels, relative to the target's mean.

    The exemplar lies in the output where it was cut from the target, so places correspond.
    """
    total = made[0].new_zeros(())
    for f, g in zip(made[-2:], wanted[-2:], strict=True):
        total = total + (f - g).abs().mean() / g.abs().mean().clamp_min(1e-6)
    return total / 2


WIDTHS = (24, 48, 64)
"""Channels of the layers; each verdict sees about 30 pixels."""


class PatchCritic(nn.Module):
    """Picture to a verdict for each patch; every layer has a Lipschitz constant of 1 (Miyato et al. 2018)."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width, stride in zip(WIDTHS, (2, 2, 1), strict=True):
            layers += [spectral_norm(nn.Conv2d(before, width, 4, stride, 1)), nn.LeakyReLU(0.2)]
            before = width
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(before, 1, 3, 1, 1)))

    def forward(self, image: Tensor) -> Tensor:
        """image: (N, 3, H, W) in [0, 1]. Returns (N, 1, about H / 4, about W / 4), above 0 for real."""
        verdict: Tensor = self.layers(2 * image - 1)
        return verdict


class Adversary:
    """A critic that learns beside the network it judges; its state is part of a checkpoint."""

    def __init__(self, seed: int, device: torch.device, rate: float = 4e-4) -> None:
        """seed: of its first weights. rate: Adam's learning rate."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.net = PatchCritic().to(device)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=rate, betas=(0.0, 0.9))

    def learn(self, real: Tensor, made: Tensor) -> Tensor:
        """One step of the critic's hinge loss on (N, 3, H, W) pictures. Returns the loss, detached."""
        with torch.autocast(real.device.type, enabled=False):
            self.net.requires_grad_(True)
            loss = (
                F.relu(1 - self.net(real.float())).mean() + F.relu(1 + self.net(made.detach().float())).mean()
            )
            if bool(loss.isfinite()):  # a step with anything else would spoil the critic for ever
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
            return loss.detach()

    def judge(self, made: Tensor) -> Tensor:
        """What the generator minimises: minus the mean verdict, a scalar."""
        with torch.autocast(made.device.type, enabled=False):
            self.net.requires_grad_(False)
            verdict: Tensor = -self.net(made.float()).mean()
            return verdict

    def state_dict(self) -> dict[str, Any]:
        """Weights and optimizer."""
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
