"""Trained Transposers side by side on held-out textures, and the best one packed."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import count
from operator import add
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from texsynth import strict_json
from texsynth.errors import InputError, ModelError
from texsynth.metrics.style import frechet
from texsynth.metrics.texture import ssim
from texsynth.models.border_network import BorderNetwork
from texsynth.models.hub.cache import record_hash
from texsynth.models.registry import load_model
from texsynth.models.transposer_paper import PaperTransposer
from texsynth.models.transposers import AnyTransposer, load_network
from texsynth.models.vgg import inference
from texsynth.models.weights import read_weights, transposer_layout, write_weights
from texsynth.paths import FOLDER, exists, is_folder, unreadable
from texsynth.synthesis.copy_choice import lay_copies
from texsynth.synthesis.quilting import quilting
from texsynth.training import borders, transposer
from texsynth.training.data import centre_crops, find_pictures, load_pictures, to_image
from texsynth.training.frechet import find_inception
from texsynth.transforms.moments import Moments

SIDE = 128  # Side of the exemplars that a packed network's figures are measured on

LEVEL = 3  # Without Inception the Frechet distance is that of relu3_1 features

See = Callable[[Tensor], Tensor]
"""Pictures (N, 3, H, W) in [0, 1] to features (N, C, h, w)."""

Expand = Callable[[Tensor, tuple[int, int], torch.Generator], Tensor]
"""(exemplar (1, 3, h, w) in [0, 1], size (H, W), rng) -> (1, 3, H, W)."""


def copies(exemplar: Tensor, size: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Lay copies of the exemplar, as `expand --method transposer --transposer none` does."""
    rows, columns = lay_copies(exemplar, size, rng)
    return exemplar[:, :, rows, columns]


BASELINES: dict[str, Expand] = {"quilting": quilting, "copies": copies}
"""Rows of what needs no network; copies, other than quilting, lay the exemplar where the truth has it."""

UNTRAINED = "untrained"  # Row of a network of the paper with random weights, at a quarter of its width


@dataclass(frozen=True)
class Score:
    """Figures of one network on held-out textures."""

    name: str
    encoder: str  # own, lite or vgg19; none where pixels are copied
    loss: str  # gram, wasserstein, both or none; patch where borders of copies are repaired
    steps: int
    ssim: float  # Mean structural similarity to the truth, the exemplar lying in the middle of both
    ssim_outside: float
    """Mean structural similarity of the part of the output that does not show the exemplar."""
    frechet: float
    """Distance of features at all positions of all outputs to those of all truths.

    Of pooled features there would be too few for an unbiased figure."""
    frechet_single: float
    """Mean over pictures of the distance between the positions of one output and those of its own truth
    (Shaham et al. 2019): does each texture look like itself, not only all of them together like all."""
    pictures: int
    positions: int  # Feature vectors on either side
    layer: str


def compare(
    networks: Sequence[Path],
    data: Path,
    *,
    side: int = SIDE,
    seed: int = 0,
    on_picture: Callable[[int, int], None] = lambda *_: None,
) -> list[Score]:
    """Expand the centre crops (side x side) of held-out textures to twice the size; compare with the truth.

    networks: run folders or weight files; their scores come after those of BASELINES and of an untrained one.
    on_picture: takes the expansions done and their number. Raises InputError without large enough textures,
    ModelError for a damaged network.
    """
    for path in networks:
        if (reason := unreadable(path)) and reason != FOLDER:
            raise InputError(f"{path} {reason}; give run folders or weight files")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        untrained: AnyTransposer = inference(PaperTransposer.of_width(0.25, None))
    rows: list[tuple[str, Expand, str, str, int]]
    rows = [(name, expand, "none", "none", 0) for name, expand in BASELINES.items()]
    rows.append((UNTRAINED, _expansion(untrained), "own", "none", 0))
    for path in networks:
        name = path.name if is_folder(path) else path.stem
        file = network_file(path)
        rows.append((name, *_row(load_network(str(file))[0], read_weights(file)[1])))
    see, layer = _features()
    truths = centre_crops(load_pictures(find_pictures(data, held_out=True), 2 * side), 2 * side)
    scores = []
    done = count(1)
    for name, expand, encoder, loss, steps in rows:
        figures = _figures(expand, truths, see, seed, lambda: on_picture(next(done), len(rows) * len(truths)))
        scores.append(Score(name, encoder, loss, steps, *figures, layer))
    return scores


def pack_transposer(run: Path, data: Path, output: Path, notes: Mapping[str, str]) -> list[Score]:
    """Write the network of a run as float16 with held-out figures. Raises as `compare` does."""
    file = network_file(run)
    tensors, header = read_weights(file)
    layout = transposer_layout(tensors)
    if layout is None or "steps" not in header:
        raise ModelError(f"{file} does not say how it was trained; give the folder of a training run")
    header = {**header, "model": output.stem, "layout": layout, **notes}
    with TemporaryDirectory() as folder:  # what is packed is measured before it is at its place
        rounded = Path(folder) / output.name
        write_weights(rounded, tensors, header)
        scores = compare([rounded], data, side=SIDE)
    write_weights(output, tensors, {**header, "held_out": json.dumps([asdict(score) for score in scores])})
    record_hash(output)
    return scores


def _expansion(net: AnyTransposer) -> Expand:
    return lambda exemplar, size, rng: net.expand(exemplar, size, circular=False, rng=rng)[0]


def _row(net: AnyTransposer, header: Mapping[str, str]) -> tuple[Expand, str, str, int]:
    """Return how a network expands, and the fields `encoder` to `steps` of its score."""
    try:
        settings, steps = dict(strict_json.parse(header.get("settings", "{}"))), int(header.get("steps", 0))
    except (ValueError, TypeError) as error:
        raise ModelError(f"a network does not say how it was trained ({error}); train it again") from None
    encoder = str(settings.get("encoder", "own"))
    loss = " + ".join(name for name in ("gram", "wasserstein") if settings.get(name)) or "none"
    if isinstance(net, BorderNetwork):
        encoder, loss = "none", "patch"
    return _expansion(net), encoder, loss, steps


def _features() -> tuple[See, str]:
    """Return what the Frechet distance looks at, and its name. Raises ModelError for a damaged file."""
    inception = find_inception()
    if inception:
        return inception, inception.name
    judge = load_model("lite").vgg()
    return lambda image: judge.segment(image, 0, LEVEL), f"relu{LEVEL}_1 of lite"


@torch.no_grad()
def _figures(
    expand: Expand, truths: Tensor, see: See, seed: int, on_picture: Callable[[], None]
) -> tuple[float, float, float, float, int, int]:
    """Measure expansions: the fields `ssim` to `positions` of its score."""
    outputs: list[Moments] = []
    expected: list[Moments] = []
    similar, outside, single = 0.0, 0.0, 0.0
    side, pictures = truths.shape[2] // 2, len(truths)
    middle = slice(side // 2, side // 2 + side)
    windows, within = (2 * side - 10) ** 2, (side - 10) ** 2
    for index, crop in enumerate(truths):
        truth = to_image(crop[None])
        exemplar = truth[..., middle, middle]
        rng = torch.Generator().manual_seed(seed + index)
        image = expand(exemplar, (2 * side, 2 * side), rng)
        whole, inside = ssim(image, truth), ssim(image[..., middle, middle], exemplar)
        similar += whole
        # Over the 11 x 11 windows of the output that are not within the exemplar.
        outside += (whole * windows - inside * within) / (windows - within)
        for x, moments in ((image, outputs), (truth, expected)):
            moments.append(Moments.of(see(x)).to(torch.device("cpu")))
        single += frechet(outputs[-1], expected[-1])
        on_picture()
    total = reduce(add, outputs)
    distance = frechet(total, reduce(add, expected))
    means = similar / pictures, outside / pictures, distance, single / pictures
    return *means, pictures, round(total.n)


def network_file(path: Path) -> Path:
    """Return the network in a run folder of either layout, or `path` itself. Raises InputError for none."""
    if not is_folder(path):
        return path
    files = [path / name for name in (transposer.NETWORK, borders.NETWORK) if exists(path / name)]
    if not files:
        raise InputError(f"there is no network in {path}; finish its training, or give a weight file")
    return files[0]
