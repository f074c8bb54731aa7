"""Trained Transposers side by side on held-out textures, and the best one packed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from pathlib import Path

import torch
from torch import Tensor

from texsynth.errors import InputError, ModelError
from texsynth.metrics.frechet import frechet
from texsynth.metrics.texture import ssim
from texsynth.models.hub.cache import record_hash
from texsynth.models.registry import load_model
from texsynth.models.transposer import OWN_WIDTHS, Transposer, load_transposer
from texsynth.models.transposer_parts import OwnEncoder
from texsynth.models.vgg import Encoder, inference
from texsynth.models.weights import read_weights, write_weights
from texsynth.training.data import centre_crops, find_pictures, load_pictures, to_image
from texsynth.training.transposer import NETWORK
from texsynth.transforms.moments import Moments

SIDE = 128
"""Side of the exemplars that a packed network's figures are measured on."""

LEVEL = 3
"""The Frechet distance is that of relu3_1 features."""

UNTRAINED = "untrained"
"""Row of a network with random weights, whose copy head still has the settings that training starts from."""


@dataclass(frozen=True)
class Score:
    """Figures of one network on held-out textures."""

    name: str
    encoder: str
    """own, lite or other."""
    loss: str
    """gram, wasserstein, both or none."""
    steps: int
    ssim: float
    """Mean structural similarity to the truth, the exemplar lying in the middle of both."""
    ssim_outside: float
    """The same without the part of the output that shows the exemplar."""
    frechet: float
    """Of features at all positions of all outputs against those of all truths.

    Of pooled features there would be too few for an unbiased figure."""
    frechet_single: float
    """Mean over pictures of the distance between the positions of one output and those of its own truth
    (Shaham et al. 2019): does each texture look like itself, not only all of them together like all."""
    pictures: int
    positions: int
    """Feature vectors on either side."""
    layer: str


def compare(
    networks: Sequence[Path],
    data: Path,
    *,
    side: int = SIDE,
    seed: int = 0,
    features: str = "lite",
    on_picture: Callable[[int, int], None] | None = None,
) -> list[Score]:
    """Expand the centre crops (side x side) of held-out textures to twice the size; compare with the truth.

    networks: run folders or weight files. A row of an untrained network comes first. Raises InputError
    without held-out textures of twice the side, ModelError for a missing or damaged network.
    """
    loaded = [(_name(path), *_load(path)) for path in networks]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        start = inference(Transposer(OwnEncoder(OWN_WIDTHS)))
    judge = load_model(features).vgg()
    truths = centre_crops(load_pictures(find_pictures(data, held_out=True), 2 * side), 2 * side)
    rows = [(UNTRAINED, start, {}), *loaded]
    scores = []
    for index, (name, net, header) in enumerate(rows):

        def tell(done: int, index: int = index) -> None:
            if on_picture:
                on_picture(index * len(truths) + done, len(rows) * len(truths))

        scores.append(_score(name, net, header, truths, judge, f"relu{LEVEL}_1 of {features}", seed, tell))
    return scores


def pack_transposer(run: Path, data: Path, output: Path, notes: Mapping[str, str]) -> list[Score]:
    """Write the network of a run as float16, with provenance and its held-out figures in the header.

    Returns the figures, those of the written file. Raises as `compare` does.
    """
    tensors, header = read_weights(_file(run))
    if "settings" not in header:
        raise ModelError(f"{_file(run)} does not say how it was trained; give the folder of a training run")
    output.parent.mkdir(parents=True, exist_ok=True)
    header = {"model": output.stem, "layout": "Transposer", **header, **notes}
    write_weights(output, tensors, header)
    scores = compare([output], data, side=SIDE)
    table = json.dumps([asdict(score) for score in scores])
    write_weights(output, tensors, {**header, "held_out": table})
    record_hash(output)
    return scores


@torch.no_grad()
def _score(
    name: str,
    net: Transposer,
    header: Mapping[str, str],
    truths: Tensor,
    judge: Encoder,
    layer: str,
    seed: int,
    tell: Callable[[int], None],
) -> Score:
    results, reals = [], []
    similar, outside, single = 0.0, 0.0, 0.0
    side = truths.shape[2] // 2
    middle = slice(side // 2, side // 2 + side)
    for index, crop in enumerate(truths):
        truth = to_image(crop[None])
        exemplar = truth[..., middle, middle]
        rng = torch.Generator().manual_seed(seed + index)
        image, _ = net.expand(exemplar, (2 * side, 2 * side), circular=False, rng=rng)
        whole, inside = ssim(image, truth), ssim(image[..., middle, middle], exemplar)
        similar += whole
        outside += _outside(whole, inside, side)
        result, real = (Moments.of(judge.segment(x, 0, LEVEL)) for x in (image, truth))
        results.append(result)
        reals.append(real)
        single += frechet(result, real)
        tell(index + 1)
    settings = json.loads(header.get("settings", "{}"))
    kind = "own" if net.own else settings.get("encoder", "pretrained")
    count, total = len(truths), reduce(add, results)
    return Score(
        name, kind, _loss(settings), int(header.get("steps", 0)), similar / count, outside / count,
        frechet(total, reduce(add, reals)), single / count, count, round(total.n), layer,
    )  # fmt: skip


def _outside(whole: float, inside: float, side: int) -> float:
    """Mean over the 11 x 11 windows of the output that are not within the exemplar."""
    all_windows, within = (2 * side - 10) ** 2, (side - 10) ** 2
    return (whole * all_windows - inside * within) / (all_windows - within)


def _loss(settings: Mapping[str, float]) -> str:
    used = [name for name in ("gram", "wasserstein") if settings.get(name)]
    return " + ".join(used) or "none"


def _file(path: Path) -> Path:
    return path / NETWORK if path.is_dir() else path


def _name(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _load(path: Path) -> tuple[Transposer, dict[str, str]]:
    if not path.exists():
        raise InputError(f"{path} does not exist; give run folders or weight files")
    file = _file(path)
    return load_transposer(str(file)), read_weights(file)[1]
