"""Train the network that repairs the borders between copies (`models.border_network`).

Layouts of training textures are made as the program makes them, by copies and by quilting. The loss compares
patches of the repaired picture with the most similar ones of the exemplar (the energy of Kwatra et al. 2005,
here amortized), their gradients' strength, so that blur does not pay, and the distribution of patches with
that of the picture the exemplar was cut out of.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.config.training import BorderSettings
from texsynth.errors import ModelError
from texsynth.metrics.losses import random_directions
from texsynth.metrics.texture import blurred
from texsynth.models.border_network import REACH, BorderNetwork
from texsynth.models.transposers import load_network
from texsynth.models.vgg import channels_last
from texsynth.models.weights import prefixed, write_weights
from texsynth.synthesis.borders import Borders, find_borders
from texsynth.synthesis.copy_choice import lay_copies
from texsynth.synthesis.exemplar import Exemplar, build_atlas
from texsynth.synthesis.quilting import Quilt, QuiltSettings, block_corners
from texsynth.training.checkpoint import Learner, as_header, check_fresh, running_average
from texsynth.training.data import Picture, distant_square, find_pictures, load_pictures, random_index
from texsynth.training.loop import LoopSettings, Session, run
from texsynth.training.optimizer import Optimizer

NETWORK = "borders.safetensors"
"""File of the finished network in a run folder, float16, with the settings of its training in its header."""

PATCH_PX = 15  # Side of the patches that are compared
AT_BORDER = 1.5  # Pixels to a border up to which a patch is centred on it
STRIDE = 2  # The nearest patch is looked for among every second pixel of blurred pictures
LEVELS = 3  # Of the Laplacian pyramid whose patches' distribution is compared
PYRAMID_PX = 7  # Side of these patches


@dataclass(frozen=True)
class BorderRun:
    """Everything that decides the result of a training."""

    data: Path
    folder: Path
    settings: BorderSettings = field(default_factory=BorderSettings)
    seed: int = 0
    init: Path | None = None  # Network of an earlier run to go on from; None starts anew


def train_borders(plan: BorderRun, session: Session) -> Path:
    """Train; return the file. Raises InputError without usable pictures, ModelError for a wrong `init`."""
    check_fresh(plan.folder / "borders.checkpoint", session.resume)
    settings, device = plan.settings, session.device
    net, begun = begin(plan)
    plan.folder.mkdir(parents=True, exist_ok=True)
    pictures = load_pictures(find_pictures(plan.data, held_out=False), 2 * settings.crop_px)
    session.report(f"{len(pictures)} training textures, of which {settings.layouts} layouts are made")
    layouts = draw_layouts(pictures, settings, torch.Generator().manual_seed(plan.seed))
    net = channels_last(net.requires_grad_(True), device)

    def loss(rng: torch.Generator) -> dict[str, Tensor]:
        batch = layouts.draw(settings, rng).to(device)
        picture, _ = net(batch.exemplar, batch.layout, Borders(batch.other, batch.distance))
        with torch.autocast(device.type, enabled=False):
            patches, sharpness = patch_terms(picture, batch.exemplar, batch.distance, settings, rng)
            wasserstein = pyramid_term(picture, batch.truth, rng)
        return {
            "patch": patches,
            "sharpness": settings.sharpness * sharpness,
            "wasserstein": settings.wasserstein * wasserstein,
        }

    optimizer = Optimizer(net.parameters(), settings.rate, settings.rate, "adam")
    average = running_average(net, settings.ema) if settings.ema else None
    learner = Learner(net, optimizer, torch.Generator().manual_seed(plan.seed + 1), average=average)
    origin = {
        **as_header(settings.model_dump(exclude={"save_every"})),
        "seed": str(plan.seed),
        "pictures": str(len(pictures)),
        "init": begun,
    }
    loop = LoopSettings.of(settings, batch=settings.batch)
    run(learner, loss, loop, plan.folder / "borders.checkpoint", session, origin=origin)
    write_weights(plan.folder / NETWORK, prefixed("borders", learner.result.state_dict()), origin)
    return plan.folder / NETWORK


def begin(plan: BorderRun) -> tuple[BorderNetwork, str]:
    """Build the network before the first step. Returns it and the SHA-256 of `plan.init`, or nothing."""
    if plan.init is None:
        with torch.random.fork_rng():
            torch.manual_seed(plan.seed)
            return BorderNetwork(), ""
    net, digest = load_network(str(plan.init))
    if not isinstance(net, BorderNetwork):
        raise ModelError(f"{plan.init} is of layout paper, not copies; give a network of this command")
    return net, digest


@dataclass(frozen=True)
class Layouts:
    """Exemplars, their layouts and what they were cut out of; also a batch of them."""

    exemplar: Tensor  # (N, 3, c, c)
    truth: Tensor  # (N, 3, T, T), what the exemplar was cut out of
    layout: Tensor  # (N, 2, H, W)
    other: Tensor  # (N, 2, H, W)
    distance: Tensor  # (N, 1, H, W)

    def draw(self, settings: BorderSettings, rng: torch.Generator) -> "Layouts":
        """Draw a batch of windows, as floating-point numbers."""
        picked = torch.randint(len(self.layout), (settings.batch,), generator=rng)
        side = settings.window_px
        windows = []
        for planes in (self.truth, self.layout):
            top, left = (2 * random_index((n - side) // 2 + 1, rng) for n in planes.shape[2:])
            windows.append((slice(None), slice(top, top + side), slice(left, left + side)))
        of_truth, here = windows
        return Layouts(
            self.exemplar[picked].float() / 255,
            self.truth[picked][:, *of_truth].float() / 255,
            *(x[picked][:, *here].float() for x in (self.layout, self.other, self.distance)),
        )

    def to(self, device: torch.device) -> "Layouts":
        """Move everything."""
        return Layouts(*(x.to(device) for x in vars(self).values()))


def draw_layouts(pictures: Sequence[Picture], settings: BorderSettings, rng: torch.Generator) -> Layouts:
    """Make layouts of random crops: half by copies, a quarter each quilted, and quilted with seams relaid."""
    rows = []
    side, size = settings.crop_px, (settings.output_px, settings.output_px)
    for number in range(settings.layouts):
        truth = distant_square(pictures[random_index(len(pictures), rng)], 2 * side, rng)
        top, left = (random_index(side + 1, rng) for _ in range(2))
        exemplar = truth[None, :, top : top + side, left : left + side]
        if number % 4 < 2:
            layout = lay_copies(exemplar, size, rng)
        else:
            layout = _quilt(exemplar, size, rng, relaid=number % 4 == 3)
        borders = find_borders(layout[None], REACH)
        pixels = ((255 * x).round().byte() for x in (exemplar[0], truth))
        other, distance = borders.other[0].short(), borders.distance[0].clamp_max(3 * REACH).half()
        rows.append((*pixels, layout.short(), other, distance))
    return Layouts(*(torch.stack(column) for column in zip(*rows, strict=True)))


def _quilt(exemplar: Tensor, size: tuple[int, int], rng: torch.Generator, *, relaid: bool) -> Tensor:
    """Quilt with blocks of random size. Returns (2, *size)."""
    block = round((0.45 if relaid else 0.25 + 0.3 * float(torch.rand((), generator=rng))) * exemplar.shape[2])
    overlap = max(4, round((0.4 if relaid else 0.25) * block))
    quilt = Quilt(build_atlas([Exemplar(exemplar)]), size, QuiltSettings(block, overlap, 0.1, 0.3), rng)
    for corner in block_corners(size, block, overlap, wrap=False):
        quilt.place_block(*corner)
    if relaid:
        quilt.refine(8)
    return quilt.at


def patch_terms(
    picture: Tensor, exemplar: Tensor, distance: Tensor, settings: BorderSettings, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Compare patches of pictures with the nearest ones of their exemplars, wherever the network reaches.

    picture: (N, 3, H, W), exemplar: (N, 3, h, w), distance: (N, 1, H, W) to the nearest border. Patches at
    borders alone are made good by moving the faults out of sight (`settings.at_borders`). Returns two means:
    the squared difference over the exemplar's variance, which weighs a cut through an object more than many
    small faults, and the relative difference of the strength of gradients at two scales.
    """
    differences, strengths = [], []
    for image, source, far in zip(picture, exemplar, distance[:, 0], strict=True):
        reach = PATCH_PX // 2
        whole = torch.zeros_like(far, dtype=torch.bool)
        whole[reach:-reach, reach:-reach] = True
        places = []
        at_borders = round(settings.at_borders * settings.patches)
        for limit, count in ((AT_BORDER, at_borders), (REACH + reach, settings.patches - at_borders)):
            near = ((far < limit) & whole).nonzero()
            if len(near):
                places.append(near[torch.randint(len(near), (count,), generator=rng).to(near.device)])
        if not places:
            continue
        rows, columns = torch.cat(places).unbind(1)
        with torch.no_grad():
            target = _patches(source, *nearest_places(image, source, rows, columns), PATCH_PX, 1)
        patches = _patches(image, rows, columns, PATCH_PX, 1)
        differences.append((patches - target).square().mean() / source.var().clamp_min(4e-4))
        own, goal = _gradient_strength(patches), _gradient_strength(target)
        strengths.append(((own - goal).abs() / goal.mean(1, keepdim=True)).mean())
    if not differences:
        return picture.sum() * 0, picture.sum() * 0
    return torch.stack(differences).mean(), torch.stack(strengths).mean()


def nearest_places(image: Tensor, source: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Find the centres in `source` (3, h, w) of the patches most like those of `image` (3, H, W) there.

    Every second pixel of the blurred pictures is compared, at every position.
    """
    small, border = PATCH_PX // STRIDE, PATCH_PX // 2
    soft = [blurred(F.pad(x[None], (2,) * 4, mode="reflect")) for x in (image, source)]
    asked = _patches(soft[0][0], rows, columns, small, STRIDE)
    known = F.unfold(soft[1], small, dilation=STRIDE)[0].T
    reach = small // 2 * STRIDE
    width = source.shape[2] - 2 * reach
    places = torch.arange(len(known), device=source.device)
    centres = torch.stack([places // width, places % width]) + reach
    limits = torch.tensor(source.shape[1:], device=source.device).view(2, 1) - border
    outside = ((centres < border) | (centres >= limits)).any(0)
    score = known.square().sum(1) - 2 * asked @ known.T + 1e9 * outside
    row, column = centres[:, score.argmin(1)]
    return row, column


def pyramid_term(picture: Tensor, truth: Tensor, rng: torch.Generator, count: int = 2048) -> Tensor:
    """Sliced Wasserstein distance of patches of Laplacian pyramids, over the variance of the truth's."""
    total = picture.new_zeros(())
    for ours, theirs in zip(_laplacian(picture), _laplacian(truth), strict=True):
        axes = random_directions(32, 3 * PYRAMID_PX**2, rng, ours).view(-1, 3, PYRAMID_PX, PYRAMID_PX)
        projected = []
        for planes in (ours, theirs):
            values = F.conv2d(planes, axes).flatten(2)
            picked = torch.randint(values.shape[2], (count,), generator=rng).to(values.device)
            projected.append(values[:, :, picked].sort(-1).values)
        variance = theirs.var((1, 2, 3)).clamp_min(1e-5).view(-1, 1, 1)
        total = total + ((projected[0] - projected[1]).square() / variance).mean() / LEVELS
    return total


def _laplacian(image: Tensor) -> list[Tensor]:
    """Build a Laplacian pyramid of (N, 3, H, W), coarse rest last."""
    bands = []
    for _ in range(LEVELS - 1):
        small = blurred(F.pad(image, (2,) * 4, mode="reflect"))[:, :, ::2, ::2]
        bands.append(image - F.interpolate(small, image.shape[2:], mode="bilinear", align_corners=False))
        image = small
    return [*bands, image]


def _patches(image: Tensor, rows: Tensor, columns: Tensor, side: int, stride: int) -> Tensor:
    """Gather the patches of (C, H, W) around n places, (n, C * side * side)."""
    span = (torch.arange(side, device=image.device) - side // 2) * stride
    taken = image[:, rows[:, None, None] + span[:, None], columns[:, None, None] + span]
    return taken.transpose(0, 1).flatten(1)


def _gradient_strength(patches: Tensor) -> Tensor:
    """Root mean square of the gradients of patches (n, 3 * side * side), at full and half size, (2, n)."""
    x = patches.view(-1, 3, PATCH_PX, PATCH_PX)
    squares = [
        image.diff(dim=2).square().mean((1, 2, 3)) + image.diff(dim=3).square().mean((1, 2, 3))
        for image in (x, F.avg_pool2d(x, 2))
    ]
    return (torch.stack(squares) + 1e-6).sqrt()
