"""`texsynth train transposer`: random crops expanded to their targets, judged by texture statistics."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from texsynth.errors import ModelError
from texsynth.models.hashes import file_hash
from texsynth.models.registry import load_model
from texsynth.models.transposer import OWN_WIDTHS, Transposer, lay_out, load_transposer
from texsynth.models.transposer_parts import OwnEncoder
from texsynth.models.vgg import Encoder, channels_last
from texsynth.settings import TransposerSettings
from texsynth.texture.losses import gram, random_directions, sliced_wasserstein
from texsynth.training.checkpoint import Learner
from texsynth.training.critic import Adversary
from texsynth.training.data import Picture, find_pictures, load_pictures
from texsynth.training.loop import LoopSettings, run
from texsynth.training.optimizer import Optimizer
from texsynth.training.precision import autocast_for
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
