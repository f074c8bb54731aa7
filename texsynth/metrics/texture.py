"""Measures of an expanded texture that need no judge. Each of them can be fooled; read how.

All take images (1, 3, H, W) in [0, 1], on any device. What repeats, spectra and lattices are in `structure`.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.metrics.losses import random_directions, sliced_wasserstein
from texsynth.ops.color import luma

PATCH_PX = 7  # Side of the patches that are compared

LEVEL = 1 / 255  # One step of an 8-bit picture: differences below it cannot be seen in a file


class Seams(NamedTuple):
    """Figures of the borders that meet when a picture is repeated: right against left, bottom against top."""

    vertical: float
    horizontal: float


def coherence(output: Tensor, exemplar: Tensor, rng: torch.Generator, queries: int = 768) -> float:
    """Mean distance from patches of `output` to the most similar patch of `exemplar`; 0 is best.

    Root-mean-square difference per colour value of 7x7 patches, at full resolution and of every second pixel
    of the blurred pictures, averaged. `queries` positions are drawn, the search is exhaustive.

    Rewards whatever looks like the exemplar close up. It lies by rewarding copies: naive tiling scores near
    0, and so does one copied patch everywhere. Blur lowers it too where the exemplar has smooth places.
    """
    # Every second pixel at every position, not a reduced picture: a copy moved by an odd number of pixels
    # must stay a copy.
    pairs = [(output, exemplar, 1)]
    if min(*output.shape[2:], *exemplar.shape[2:]) >= 2 * PATCH_PX + 3:
        pairs.append((blurred(output), blurred(exemplar), 2))
    return sum(_mean_nearest(a, b, step, rng, queries) for a, b, step in pairs) / len(pairs)


def completeness(output: Tensor, exemplar: Tensor, rng: torch.Generator, queries: int = 256) -> float:
    """Mean distance from patches of `exemplar` to the most similar patch of `output`; 0 is best.

    Measured like `coherence`. Rewards keeping everything the exemplar shows. It lies by being content with
    one good copy of the exemplar anywhere, whatever the rest looks like.
    """
    return coherence(exemplar, output, rng, queries)


def sharpness(output: Tensor, exemplar: Tensor) -> float:
    """Gradient energy per pixel of `output` over that of `exemplar`; 1 is best, below it is blur.

    It lies when noise makes up for blur, and where the exemplar is not the same everywhere.
    """
    return _gradient_energy(output) / _gradient_energy(exemplar)


def seams(image: Tensor) -> Seams:
    """Compare the steps across the border when `image` is repeated with those inside, mean absolute values.

    1 is best on average. It lies where the border happens to run along a line of the texture, such as mortar,
    which differs from the average inside; and blur along the border looks like a missing seam.
    """
    # A thousandth of a step: pictures without any gradient have no seam either.
    floor = LEVEL / 1000
    return Seams(
        *(float((across + floor) / (inside.mean() + floor)) for inside, across in _line_steps(image))
    )


def seam_ranks(image: Tensor) -> Seams:
    """Share of the lines inside across which the steps are at least as large as across the border.

    Near 0 for a seam that stands out; anything else is as if the border were a line like others, which
    `seams` cannot tell on textures with strong lines.
    """
    return Seams(
        *(float((inside >= across - LEVEL / 1000).float().mean()) for inside, across in _line_steps(image))
    )


def inner_seams(image: Tensor, bands: Sequence[int]) -> list[float]:
    """Compare the steps across lines inside `image` with the usual ones, mean absolute values.

    bands: distances in pixels from the borders; each gives the four sides of a rectangle, top, bottom, left,
    right. With the bounds of where `texsynth tile` cuts between old and new these are eight lines. The usual
    step is the mean of all in that direction, 1 is best.

    It sees straight seams on these lines alone. The largest of eight is above 1 on any texture with lines or
    large objects, so compare it with that of the picture before; blur along a line looks like a missing seam.
    """
    floor = LEVEL / 1000
    ratios = []
    for band in bands:
        for picture in (image, image.mT):
            steps = picture.diff(dim=2).abs().mean((0, 1))
            usual = steps.mean() + floor
            for row in (band, picture.shape[2] - band):
                side = steps[row - 1, band : picture.shape[3] - band]
                ratios.append(float((side.mean() + floor) / usual))
    return ratios


def pyramid_wasserstein(
    output: Tensor, truth: Tensor, rng: torch.Generator, *, samples: int = 16384, directions: int = 64
) -> float:
    """Sliced Wasserstein distance of 7x7 patches of Laplacian pyramids (Karras et al. 2018, section 5).

    Per level the root of the mean squared difference of sorted projections, over the deviation of the truth's
    values there; the mean of up to four levels. Unlike the paper's it is not blind to contrast. 0 is best.
    Sizes may differ; `samples` positions are drawn from each picture, the same ones when sizes agree.

    Rewards the right mixture of patches. It lies by rewarding even coverage: naive tiling is hard to beat,
    and what is where does not count.
    """
    shortest = min(*output.shape[2:], *truth.shape[2:])
    depth = next((d for d in range(4, 1, -1) if shortest >> (d - 1) >= 2 * PATCH_PX), 1)
    distances = []
    for ours, theirs in zip(_pyramid(output, depth), _pyramid(truth, depth), strict=True):
        count = min(samples, _places(ours), _places(theirs))
        picked = torch.randperm(_places(theirs), generator=rng)[:count]
        own = picked if ours.shape == theirs.shape else torch.randperm(_places(ours), generator=rng)[:count]
        a, b = (_patches_at(*each).flatten(1).T[None] for each in ((ours, own), (theirs, picked)))
        axes = random_directions(directions, a.shape[1], rng, a)
        distances.append(float(sliced_wasserstein(a, b, axes).sqrt() / theirs.std().clamp_min(LEVEL)))
    return sum(distances) / len(distances)


def ssim(output: Tensor, truth: Tensor) -> float:
    """Structural similarity of lightness (Wang et al. 2004, equation 13), Gaussian window of deviation 1.5.

    Cut to the common size. For the record only: it compares pixel by pixel, and two good pieces of one
    texture have next to nothing in common there. Blur beats every synthesis.
    """
    height, width = (min(a, b) for a, b in zip(output.shape[2:], truth.shape[2:], strict=True))
    x, y = (luma(image[:, :, :height, :width].double()) for image in (output, truth))
    return structural_similarity(x, y)


def structural_similarity(x: Tensor, y: Tensor) -> float:
    """Compare two maps (1, 1, H, W) float64 of one size with values that span 1 or so, as `ssim` does."""
    height, width = x.shape[2:]
    reach = min(5, (height - 1) // 2, (width - 1) // 2)
    line = torch.exp(-torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device).square() / (2 * 1.5**2))
    window = (line / line.sum())[None, None]
    maps = torch.cat([x, y, x * x, y * y, x * y])
    mean_x, mean_y, xx, yy, xy = F.conv2d(F.conv2d(maps, window[..., None]), window[:, :, None])
    c1, c2 = 0.01**2, 0.03**2
    likeness = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * (xy - mean_x * mean_y) + c2) / (xx - mean_x**2 + yy - mean_y**2 + c2)
    return float((likeness * structure).mean())


def blurred(image: Tensor) -> Tensor:
    """Blur binomially with five taps. image: (N, C, H, W). Returns (N, C, H - 4, W - 4)."""
    taps = image.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = torch.outer(taps, taps).expand(image.shape[1], 1, 5, 5)
    return F.conv2d(image, kernel, groups=image.shape[1])


def nearest_distances(patches: Tensor, image: Tensor, step: int = 1) -> Tensor:
    """Root-mean-square difference of patches (n, C, a, b) from the most similar one of `image`, (n,).

    step: pixels between neighbours inside a patch. The search is exhaustive.
    """
    wanted = patches.flatten(1)
    best = torch.full((len(wanted), 1), torch.inf, device=wanted.device)
    nearest = wanted
    for others in _bands(image, (patches.shape[2], patches.shape[3]), step):
        score = torch.addmm(others.square().sum(1), wanted, others.T, alpha=-2)
        value, index = score.min(1, keepdim=True)
        nearest = torch.where(value < best, others[index[:, 0]], nearest)
        best = torch.minimum(best, value)
    # From the patches themselves: the matrix product loses small distances to rounding.
    return (wanted - nearest).square().mean(1).sqrt()


def patches_at(image: Tensor, rows: Tensor, columns: Tensor, side: int, step: int = 1) -> Tensor:
    """Gather the patches with these upper left pixels, (n, C, side, side)."""
    along = torch.arange(side, device=image.device) * step
    rows, columns = (at.to(image.device)[:, None, None] for at in (rows, columns))
    return image[0][:, rows + along[:, None], columns + along].transpose(0, 1)


def _mean_nearest(source: Tensor, target: Tensor, step: int, rng: torch.Generator, queries: int) -> float:
    picked = torch.randperm(_places(source, step), generator=rng)[:queries]
    return float(nearest_distances(_patches_at(source, picked, step), target, step).mean())


def _bands(image: Tensor, size: tuple[int, int], step: int) -> Iterator[Tensor]:
    """Yield all patches of `image`, about 16,384 at a time, each (n, C * a * b)."""
    reach, across = ((n - 1) * step for n in size)
    rows, columns = image.shape[2] - reach, image.shape[3] - across
    height = max(1, 16384 // columns)
    for top in range(0, rows, height):
        band = image[:, :, top : min(top + height, rows) + reach]
        yield F.unfold(band, size, dilation=step)[0].T


def _patches_at(image: Tensor, places: Tensor, step: int = 1) -> Tensor:
    """Gather the patches with the given running numbers, (len(places), C, 7, 7)."""
    columns = image.shape[3] - (PATCH_PX - 1) * step
    return patches_at(image, places // columns, places % columns, PATCH_PX, step)


def _places(image: Tensor, step: int = 1) -> int:
    reach = (PATCH_PX - 1) * step
    return (image.shape[2] - reach) * (image.shape[3] - reach)


def _pyramid(image: Tensor, depth: int) -> list[Tensor]:
    """Build a Laplacian pyramid, coarse rest last."""
    bands = []
    for _ in range(depth - 1):
        low = blurred(F.pad(image, (2, 2, 2, 2), mode="reflect"))
        small = low[:, :, ::2, ::2]
        up = F.interpolate(small, image.shape[2:], mode="bilinear", align_corners=False)
        bands.append(image - up)
        image = small
    return [*bands, image]


def _gradient_energy(image: Tensor) -> float:
    energy = image.diff(dim=2).square().mean() + image.diff(dim=3).square().mean()
    # What rounding to 8 bits alone would hide: pictures of one colour are as sharp as each other.
    return float(energy) + (LEVEL / 100) ** 2


def _line_steps(image: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Average absolute steps from line to line, (size - 1,), and from last to first: across, then down."""
    for dim, rest in ((3, (0, 1, 2)), (2, (0, 1, 3))):
        steps = (image.roll(-1, dim) - image).abs().mean(rest)
        yield steps[:-1], steps[-1]
