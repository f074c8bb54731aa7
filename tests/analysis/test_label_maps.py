"""Label maps as they are saved and resized: what was drawn comes back, and exact maps stay exact."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from texsynth.analysis.label_maps import LabelMap, label_map, partners

COLOURS = {
    "blue": (0, 0, 255),
    "green": (0, 255, 0),
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "yellow": (255, 255, 0),
    "grey": (128, 128, 128),
    "light blue": (0, 255, 255),
    "purple": (255, 0, 255),
}
"""Those of "Deep Photo Style Transfer" (Luan et al. 2017)."""

PALETTE = np.array(list(COLOURS.values()))


def drawn(width: int = 320, height: int = 240, scale: int = 1) -> Image.Image:
    """Draw regions of all nine colours, some inside of others, with borders of every direction."""
    image = Image.new("RGB", (width * scale, height * scale), COLOURS["blue"])
    draw = ImageDraw.Draw(image)

    def at(*corners: float) -> list[float]:
        return [c * side * scale for c, side in zip(corners, (width, height) * len(corners), strict=False)]

    draw.polygon(at(0, 0.6, 0.3, 0.45, 0.7, 0.62, 1, 0.5, 1, 1, 0, 1), fill=COLOURS["green"])
    draw.ellipse(at(0.1, 0.1, 0.35, 0.4), fill=COLOURS["black"])
    draw.ellipse(at(0.15, 0.15, 0.28, 0.32), fill=COLOURS["white"])
    draw.polygon(at(0.5, 0.1, 0.75, 0.5, 0.45, 0.4), fill=COLOURS["red"])
    draw.rectangle(at(0.8, 0.05, 0.95, 0.45), fill=COLOURS["yellow"])
    draw.rectangle(at(0.02, 0.7, 0.2, 0.95), fill=COLOURS["grey"])
    draw.ellipse(at(0.4, 0.6, 0.6, 0.9), fill=COLOURS["light blue"])
    draw.polygon(at(0.7, 0.7, 0.95, 0.65, 0.9, 0.95), fill=COLOURS["purple"])
    return image


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def fine(image: Image.Image) -> NDArray[np.uint16]:
    """Give 16 bits, with noise that 8 bits cannot hold."""
    noise = np.random.default_rng(0).integers(-60, 61, (image.height, image.width, 3))
    return (np.asarray(image).astype(int) * 257 + noise).clip(0, 65535).astype(np.uint16)


def labels_of(pixels: object) -> LabelMap:
    labels = label_map(np.asarray(pixels))
    assert labels is not None
    return labels


def meant(labels: LabelMap) -> NDArray[np.int64]:
    """The rows of PALETTE that the labels of the pixels are nearest to."""
    nearest = np.linalg.norm(labels.colours[:, None] - PALETTE, axis=2).argmin(1)
    assert len(set(nearest)) == len(nearest)
    row: NDArray[np.int64] = nearest[labels.labels]
    return row


def inner(index: NDArray[np.int64], far: int) -> NDArray[np.bool_]:
    """Where all pixels as far have the same label."""
    padded = np.pad(index, far, mode="edge")
    h, w = index.shape
    parts = [padded[y : y + h, x : x + w] == index for y in range(2 * far + 1) for x in range(2 * far + 1)]
    same: NDArray[np.bool_] = np.logical_and.reduce(parts)
    return same


NOISY: dict[str, Callable[[], object]] = {
    "JPEG 75": lambda: as_jpeg(drawn(), 75),
    "JPEG 90": lambda: as_jpeg(drawn(), 90),
    "JPEG 30": lambda: as_jpeg(drawn(), 30),
    "reduced": lambda: drawn(scale=3).resize((320, 240), Image.Resampling.LANCZOS),
    "enlarged": lambda: drawn(160, 120).resize((320, 240), Image.Resampling.BICUBIC),
    "reduced, JPEG 75": lambda: as_jpeg(drawn(scale=3).resize((320, 240), Image.Resampling.LANCZOS), 75),
    "deep": lambda: fine(drawn(scale=3).resize((320, 240), Image.Resampling.LANCZOS)),
}


@pytest.mark.parametrize("make", NOISY.values(), ids=NOISY)
def test_the_labels_that_were_drawn_come_back(make: Callable[[], object]) -> None:
    labels = labels_of(make())
    truth = meant(labels_of(drawn()))
    assert not labels.exact
    assert labels.stored > 64
    assert len(labels.colours) == 9
    result = meant(labels)
    away = inner(truth, 3)
    assert (result == truth)[away].all()
    # No bands along the borders either: whatever is there is one of the labels that meet.
    padded = np.pad(truth, 4, mode="edge")
    near = [padded[y : y + 240, x : x + 320] == result for y in range(9) for x in range(9)]
    assert np.logical_or.reduce(near).all()


EXACT: dict[str, Callable[[], object]] = {
    "as drawn": drawn,
    "small": lambda: drawn(40, 30),
    "indexed": lambda: drawn().convert("P", palette=Image.Palette.ADAPTIVE).convert("RGB"),
    "16 bits": lambda: np.asarray(drawn()).astype(np.uint16) * 257,
    "16 bits, noise": lambda: fine(drawn()),
    "enlarged by pixels": lambda: drawn(80, 60).resize((320, 240), Image.Resampling.NEAREST),
}


@pytest.mark.parametrize("make", EXACT.values(), ids=EXACT)
def test_exact_maps_stay_what_they_are(make: Callable[[], object]) -> None:
    labels = labels_of(make())
    assert labels.exact
    assert sorted(map(tuple, labels.colours)) == sorted(COLOURS.values())


@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("top", [255, 700])
def test_adjacent_numbers_are_labels_of_their_own(size: int, top: int) -> None:
    """Squares of grey values 0, 1, 2, ... in any order."""
    numbers = np.random.default_rng(size).permutation(top)[: top // 5 * 5].reshape(5, -1)
    grey = np.kron(numbers, np.ones((size, size), int)).astype(np.uint8 if top < 256 else np.uint16)
    labels = labels_of(np.repeat(grey[..., None], 3, 2))
    assert labels.exact
    assert len(labels.colours) == numbers.size
    assert len(np.unique(labels.labels * 1000 + grey.astype(int))) == numbers.size


def test_regions_of_any_form_and_thin_lines_are_exact() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:150, :150]
    seeds = rng.random((255, 2)) * 150
    grey = ((y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2).argmin(2)
    grey[40] = grey[:, 90] = 255
    labels = labels_of(np.repeat(grey[..., None].astype(np.uint8), 3, 2))
    assert labels.exact
    assert len(labels.colours) == len(np.unique(grey))


def test_pictures_are_no_label_maps() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :120] / 20
    waves = np.stack([np.sin(x + y), np.cos(2 * x - y), np.sin(x) * np.cos(3 * y)], 2)
    assert label_map(rng.integers(0, 256, (60, 70, 3), np.uint8)) is None
    assert label_map((127 + 120 * waves).astype(np.uint8)) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (2, 2)])
def test_maps_of_any_size(size: tuple[int, int]) -> None:
    assert len(labels_of(np.full((*size, 3), 7, np.uint8)).colours) == 1


def test_what_is_transparent_is_one_label_whatever_its_colours() -> None:
    pixels = np.asarray(drawn()).copy()
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    alpha[100:150, 50:120] = 0
    noisy = pixels.copy()
    noisy[100:150, 50:120] = np.random.default_rng(0).integers(0, 256, (50, 70, 3))
    one, other = (label_map(p, alpha) for p in (pixels, noisy))
    assert one is not None
    assert other is not None
    assert other.exact
    assert len(one.colours) == 10
    assert np.array_equal(one.labels, other.labels)
    assert partners(one, other) == {k: k for k in range(10)}


@pytest.mark.parametrize("ours", [drawn, NOISY["JPEG 90"], NOISY["reduced"]])
@pytest.mark.parametrize("theirs", [*NOISY.values(), EXACT["16 bits"]])
def test_maps_of_one_drawing_share_their_labels(
    ours: Callable[[], object], theirs: Callable[[], object]
) -> None:
    one = labels_of(ours())
    other = label_map(np.asarray(theirs()), like=one.colours)
    assert other is not None
    pairs = partners(one, other)
    assert len(set(pairs.values())) == 9
    assert all(np.linalg.norm(one.colours[v] - other.colours[k]) < 20 for k, v in pairs.items())


def flat(*colours: tuple[int, int, int]) -> LabelMap:
    """Stripes."""
    return labels_of(np.array(colours, np.uint8)[None].repeat(20, 0).repeat(20, 1))


def test_near_colours_of_exact_maps_are_the_same_label_unless_they_are_numbers() -> None:
    assert partners(flat((0, 0, 255), (0, 255, 0)), flat((1, 0, 254))) == {0: 0}
    assert partners(flat((0, 0, 255), (0, 255, 0)), flat((40, 0, 230))) == {}
    assert partners(flat((3, 3, 3), (9, 9, 9)), flat((4, 4, 4), (9, 9, 9))) == {1: 1}
    # Colours so close in one map are told apart, so they are in the other.
    assert partners(flat((0, 0, 255), (0, 0, 251)), flat((0, 0, 253))) == {}


def test_a_colour_that_has_drifted_joins_the_label_it_is_nearest_to() -> None:
    """Those without a partner stay by themselves."""
    ours = flat((0, 0, 255), (0, 255, 0))
    other = drawn().convert("RGB")
    pixels = np.asarray(other).copy()
    pixels[(pixels == COLOURS["blue"]).all(2)] = (25, 20, 230)
    theirs = label_map(np.asarray(as_jpeg(Image.fromarray(pixels), 90)), like=ours.colours)
    assert theirs is not None
    assert len(theirs.colours) == 9
    shares = labels_of(drawn()).shares[1:3]  # Of blue and green, after black
    pairs = partners(ours, theirs)
    assert {v: theirs.shares[k] for k, v in pairs.items()} == pytest.approx(dict(enumerate(shares)), abs=0.02)


@pytest.mark.parametrize("quality", [75, 90])
def test_near_colours_of_a_noisy_map_are_one_label_and_so_they_are_in_the_other(quality: int) -> None:
    """Half of each region has another shade; in the exact map of the style both are labels of their own."""
    pixels = np.asarray(drawn()).astype(int)
    shades = np.where(np.arange(240)[:, None, None] // 40 % 2, pixels, np.abs(pixels - 18)).astype(np.uint8)
    ours, theirs = labels_of(as_jpeg(Image.fromarray(shades), quality)), labels_of(shades)
    assert len(ours.colours) == 9
    assert theirs.exact
    assert len(theirs.colours) > 9
    pairs = partners(ours, theirs)
    assert sorted(pairs) == list(range(len(theirs.colours)))
    shares = [sum(theirs.shares[k] for k, v in pairs.items() if v == our) for our in range(9)]
    assert shares == pytest.approx(ours.shares, abs=0.01)
