"""Style cards: the moments of style pictures at every level of a model, in one small safetensors file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

import texsynth
from texsynth import strict_json
from texsynth.config.records import Source, Sources
from texsynth.config.settings import RunSettings
from texsynth.errors import InputError, is_exhaustion, overflow
from texsynth.images import store
from texsynth.images.files import as_text
from texsynth.images.picture import Pixels, as_depth
from texsynth.images.tensors import fit_within, to_image, to_weight
from texsynth.images.writer import flattened
from texsynth.jobs.files import make_folder, memory_guard, read_visible
from texsynth.jobs.inputs import Input
from texsynth.jobs.memory import style_tile
from texsynth.jobs.operation import resolve_run_and_model
from texsynth.jobs.recorded import seen_from
from texsynth.models.registry import Model
from texsynth.models.weights import MISFITS, in_order, metadata_of
from texsynth.pipelines.stylize import FittedStyle, measure_style
from texsynth.transforms.moments import Moments

FORMAT = "texsynth-card-1"
UNSCALED = "1.0"  # What cards said of pictures that were not resized; earlier versions want it still
COLOURS = "colours"  # Beside `level1`, `level2`, ... in a file
THUMBNAIL_PX = 128
MAKE = "make one with `texsynth card make`"
CURE = "make it again with `texsynth card make`"


@dataclass(frozen=True)
class Card:
    """The measurements of a style: its moments by level, 1 to the deepest of the model, and their origin.

    thumbnail: (h, w, 3) uint8 of the first picture, 1 to 128 pixels on a side. version: texsynth's. colours:
    moments of the RGB values; None in cards of version 0.1.
    """

    moments: dict[int, Moments]
    model: str
    model_sha256: str
    sources: tuple[Source, ...]
    thumbnail: Pixels
    version: str = texsynth.__version__
    colours: Moments | None = None


def make_card(inputs: Sequence[Input], run: RunSettings) -> tuple[Card, tuple[str, ...]]:
    """Measure the pictures, at least one, and add up their moments; with the card come warnings.

    Raises InputError for a picture that cannot be read, ModelError, and UsageError when features overflow
    the number type.
    """
    run, model = resolve_run_and_model(run)
    levels = range(1, len(model.encoder.widths) + 1)
    total: FittedStyle | None = None
    sources: list[Source] = []
    warnings: list[str] = []
    thumbnail: Pixels | None = None
    for item in inputs:
        picture, source = read_visible(item, run)
        with memory_guard(item, "use a smaller picture"):
            style = measure_style(
                to_image(picture),
                model,
                levels,
                weight=to_weight(picture),
                tile=style_tile(picture.height, picture.width),
            )
            if thumbnail is None:
                thumbnail = as_depth(flattened(fit_within(picture, THUMBNAIL_PX)).rgb, 8)
        if not all(level_moments.is_finite for level_moments in style.moments.values()):
            raise overflow(f"the features of {item} have", model.dtype)
        total = total.plus(style) if total else style
        sources.append(source)
        warnings += [f"{item}: {warning}" for warning in picture.warnings]
    assert total is not None, "a card needs a picture"
    assert thumbnail is not None, "each picture has one"
    name, origin = as_text(model.name), tuple(sources)
    card = Card(total.moments, name, model.sha256, origin, thumbnail, colours=total.colours)
    return card, tuple(warnings)


def write_card(card: Card, path: Path, *, force: bool) -> None:
    """Write `card`, whole or not at all; equal cards are equal files. Raises OutputError."""
    tensors = {"thumbnail": torch.from_numpy(card.thumbnail.copy())}
    parts = {f"level{level}": moments for level, moments in card.moments.items()}
    for part, moments in (parts | ({COLOURS: card.colours} if card.colours else {})).items():
        rows, columns = torch.triu_indices(*moments.outer.shape)
        tensors[f"{part}.n"] = torch.tensor([moments.n], dtype=torch.float64)
        tensors[f"{part}.sum"] = moments.sum
        tensors[f"{part}.outer"] = moments.outer[rows, columns]
    header = {
        "format": FORMAT,
        "texsynth": card.version,
        "model": card.model,
        "model_sha256": card.model_sha256,
        "style_scale": UNSCALED,
        "sources": json.dumps(seen_from(path.parent, [source.model_dump() for source in card.sources])),
    }
    make_folder(path.parent)
    store(in_order(save(tensors, header)), path, force=force)


def read_card(data: bytes, name: str) -> Card:
    """The card in `data`. name: what messages call it.

    Raises InputError for a file that is no card, is damaged, or holds shapes or values that no card has.
    """
    try:
        tensors = load(data)
        header = metadata_of(data)
    except (SafetensorError, *MISFITS) as error:
        if is_exhaustion(error):
            raise
        raise InputError(f"{name} is no style card or is damaged ({error}); {MAKE}") from error
    if header.get("format") != FORMAT:
        raise InputError(f"{name} is no style card, or one of another version of texsynth; {MAKE}")
    deepest = max(1, sum(key.startswith("level") and key.endswith(".sum") for key in tensors))
    if (scale := header.get("style_scale", UNSCALED)) != UNSCALED:
        raise InputError(
            f"{name} was made by an earlier texsynth of pictures resized by {scale}, which now are measured "
            f"as they are; {CURE}, and give --style-scale to `texsynth stylize`"
        )
    try:
        pixels = tensors["thumbnail"]
        good = pixels.dtype == torch.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
        if not (good and min(pixels.shape[:2]) >= 1 and max(pixels.shape[:2]) <= THUMBNAIL_PX):
            raise ValueError("its thumbnail is no small picture")
        return Card(
            moments={level: _read_moments(tensors, f"level{level}") for level in range(1, deepest + 1)},
            model=header["model"],
            model_sha256=header["model_sha256"],
            sources=_sources(header["sources"]),
            thumbnail=pixels.numpy(),
            version=header["texsynth"],
            colours=_read_colours(tensors),
        )
    except KeyError as error:
        raise InputError(f"{name} is damaged ({error.args[0]} is missing); {CURE}") from error
    except ValueError as error:
        raise InputError(f"{name} is damaged ({error}); {CURE}") from error


def check_model(card: Card, model: Model, name: str) -> None:
    """InputError when `card` was made with other weights than those of `model`. name: of the card."""
    if card.model_sha256 != model.sha256:
        raise InputError(
            f"{name} was made with other weights ({card.model}, {card.model_sha256[:8]}…) "
            f"than {model.name} ({model.sha256[:8]}…); {CURE}"
        )


def _read_colours(tensors: Mapping[str, Tensor]) -> Moments | None:
    if f"{COLOURS}.sum" not in tensors:
        return None
    colours = _read_moments(tensors, COLOURS)
    if len(colours.sum) != 3:
        raise ValueError(f"its colours have {len(colours.sum)} channels")
    return colours


def _read_moments(tensors: Mapping[str, Tensor], part: str) -> Moments:
    """Read n (1,), sum (C,) and the upper triangle of outer (C (C + 1) / 2,). Raises KeyError, ValueError."""
    n, total, triangle = parts = [tensors[f"{part}.{name}"] for name in ("n", "sum", "outer")]
    channels = total.numel()
    shapes = [(1,), (channels,), (channels * (channels + 1) // 2,)]
    if channels == 0 or [part.shape for part in parts] != shapes:
        raise ValueError(f"the shapes of {part} do not agree")
    if any(part.dtype != torch.float64 for part in parts):
        raise ValueError(f"{part} is not in float64")
    if not all(part.isfinite().all() for part in parts) or n.item() <= 0:
        raise ValueError(f"{part} has values that are not finite or count no pixels")
    rows, columns = torch.triu_indices(channels, channels)
    outer = torch.empty(channels, channels, dtype=torch.float64)
    outer[rows, columns] = outer[columns, rows] = triangle
    return Moments(n.item(), total, outer)


def _sources(text: str) -> tuple[Source, ...]:
    try:
        return TypeAdapter(Sources).validate_python(strict_json.parse(text))
    except ValueError as error:
        raise ValueError("its list of sources is unreadable") from error
