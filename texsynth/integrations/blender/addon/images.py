"""Images of Blender as files for the command, and its results as images."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from .command import CommandError
from .names import READ_AS_THEY_ARE, file_stem, free_path
from .tiff import write_tiff

DATA = "Non-Color"

LINEAR = ("Linear Rec.709", "Linear", "scene_linear")
"""Names of the colour space of floats, the usual one first."""

OPAQUE = 1 - 1e-6

Pixels = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Source:
    """An image as a file. space: the colour space in which its result is to be seen."""

    path: Path
    suffix: str  # Of the result
    space: str


REFUSED = {
    "MOVIE": "this is a film; save a frame as a picture",
    "SEQUENCE": "this is a sequence; set Source to Single Image",
    "TILED": "these are UDIM tiles; set Source to Single Image",
    "VIEWER": "this is a render; save it as a picture",
}
"""What images are that have no pixels of their own, by their source, and what to do then."""


def refusal(image: Any) -> str:
    """Return why an image cannot be worked on, empty where it can."""
    if image is None:
        return "no picture is open"
    return REFUSED.get(image.source, "")


def source_file(image: Any, folder: Path) -> Source:
    """Return the file of an image: its own where it has one and that shows the pixels, or a copy in `folder`.

    Raises CommandError.
    """
    if reason := refusal(image):
        raise CommandError(f"{image.name}: {reason}")
    space, path = (
        image.colorspace_settings.name,
        Path(bpy.path.abspath(image.filepath, library=image.library)),
    )
    suffix = path.suffix.lower()
    if not image.is_dirty and image.source == "FILE" and suffix in READ_AS_THEY_ARE:
        if image.packed_file:
            copy = free_path(folder, file_stem(image.name), suffix)
            copy.write_bytes(image.packed_file.data)
            return Source(copy, ".png", space)
        if path.is_file():
            return Source(path, ".png", space)
    pixels = pixels_of(image)
    copy = free_path(folder, file_stem(image.name), ".tif")
    write_tiff(copy, pixels)
    if pixels.dtype == np.uint8 or space == DATA:
        return Source(copy, ".png" if pixels.dtype == np.uint8 else ".tif", space)
    # Blender holds floats as linear light, whatever the file was.
    return Source(copy, ".tif", _linear(image))


def hole_file(image: Any, folder: Path) -> Path:
    """Write what is transparent in an image as white. Raises CommandError where nothing is."""
    pixels = pixels_of(image)
    if pixels.shape[2] != 4:
        raise CommandError(
            f"nothing in {image.name} is transparent; erase alpha, or give the hole as an image"
        )
    alpha = pixels[..., 3:].astype(np.float32) / (255 if pixels.dtype == np.uint8 else 1)
    path = free_path(folder, "hole", ".tif")
    write_tiff(path, np.where(alpha < OPAQUE, 255, 0).astype(np.uint8))
    return path


def pixels_of(image: Any) -> Pixels:
    """Return pixels from the top, (H, W, 3) or, where some are transparent, (H, W, 4).

    They are uint8, or float32 as Blender holds them. Raises CommandError.
    """
    width, height = image.size
    if not (width and height) or len(image.pixels) != width * height * image.channels:
        # Files of several layers have none in one piece.
        raise CommandError(
            f"{image.name} has no pixels; its file {image.filepath!r} cannot be read as one picture"
        )
    values = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(values)
    pixels: Pixels = values.reshape(height, width, image.channels)[::-1]
    if image.channels < 3:
        pixels = np.concatenate([*[pixels[..., :1]] * 3, pixels[..., 1:]], 2)
    if pixels.shape[2] == 4 and pixels[..., 3].min() >= OPAQUE:
        pixels = pixels[..., :3]
    if not image.is_float:
        eighth: Pixels = np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)
        return eighth
    if pixels.shape[2] == 4 and image.alpha_mode != "CHANNEL_PACKED":
        # Blender's floats have their opacity multiplied in.
        alpha = pixels[..., 3:]
        colours = np.divide(pixels[..., :3], alpha, where=alpha > 0, out=np.zeros_like(pixels[..., :3]))
        pixels = np.concatenate([colours, alpha], 2)
    return pixels


def load_result(path: Path, name: str, space: str, folder: str = "") -> Any:
    """Return a new image of a file, packed into the .blend file, or kept as a new file in `folder`.

    Raises CommandError.
    """
    try:
        if folder:
            place = Path(folder)
            place.mkdir(parents=True, exist_ok=True)
            path = Path(shutil.move(path, free_path(place, file_stem(name), path.suffix)))
        image = bpy.data.images.load(str(path), check_existing=False)
    except (OSError, RuntimeError) as error:
        raise CommandError(f"the result cannot be kept: {error}") from error
    image.name = name
    image.colorspace_settings.name = space
    image.use_fake_user = True  # Blender saves no image that nothing shows or uses
    if not folder:
        image.pack()
        # The temporary file will be gone; this one is offered when the image is unpacked.
        image.filepath_raw = f"//{file_stem(name)}{path.suffix}"
    return image


def _linear(image: Any) -> str:
    known = image.colorspace_settings.bl_rna.properties["name"].enum_items.keys()
    return next((name for name in LINEAR if name in known), image.colorspace_settings.name)
