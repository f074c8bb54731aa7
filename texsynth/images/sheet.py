"""Contact sheets: many pictures on one, small, each row at one scale."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from texsynth.images.picture import Picture, Pixels, as_depth
from texsynth.images.writer import encode, flattened

CELL_PX = 320
GAP_PX = 12
PAPER = 236
INK = 40
LETTER_PX = 14
CAPTION_PX = 22


def thumbnails(pictures: Sequence[Picture]) -> list[Pixels]:
    """`pictures` over white, (H, W, 3) uint8, at the scale that lets the largest fit a cell, at most 1."""
    longest = max(max(picture.width, picture.height) for picture in pictures)
    scale = min(1.0, CELL_PX / longest)
    return [reduced(picture, scale) for picture in pictures]


def contact_sheet(rows: Sequence[Sequence[Pixels]]) -> Picture:
    """`rows` of (H, W, 3) uint8 thumbnails on one sheet, each row aligned at its top."""
    width = max(sum(cell.shape[1] + GAP_PX for cell in cells) for cells in rows) + GAP_PX
    height = sum(max(cell.shape[0] for cell in cells) + GAP_PX for cells in rows) + GAP_PX
    sheet = np.full((height, width, 3), PAPER, np.uint8)
    top = GAP_PX
    for cells in rows:
        left = GAP_PX
        for cell in cells:
            sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
            left += cell.shape[1] + GAP_PX
        top += max(cell.shape[0] for cell in cells) + GAP_PX
    return Picture(sheet)


def blank(cell: Pixels) -> Pixels:
    """Return a cell of the size of another in which nothing is."""
    return np.full_like(cell, PAPER)


def captioned(picture: Picture, text: str) -> Pixels:
    """`picture` over white, never enlarged, in the middle of a cell with a line of `text` below it.

    Text that is too long is cut. Returns (H, CELL_PX, 3) uint8.
    """
    small = thumbnails([picture])[0]
    height, width = small.shape[:2]
    cell = np.full((height + CAPTION_PX, CELL_PX, 3), PAPER, np.uint8)
    left = (CELL_PX - width) // 2
    cell[:height, left : left + width] = small
    strip = Image.fromarray(cell[height:])
    font = ImageFont.load_default(LETTER_PX)
    shown = text
    while font.getlength(shown) > CELL_PX and len(shown) > 1:
        shown = f"{shown[:-2]}…"
    ImageDraw.Draw(strip).text((0, 2), shown, fill=(INK, INK, INK), font=font)
    cell[height:] = np.asarray(strip)
    return cell


THUMBNAIL_QUALITY = 85


def reduced(picture: Picture, scale: float) -> Pixels:
    """`picture` over white at `scale`, at most 1. Returns (H, W, 3) uint8, at least 1x1."""
    rgb = as_depth(flattened(picture).rgb, 8)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return rgb if scale == 1 else np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def jpeg_thumbnail(picture: Picture, scale: float) -> tuple[bytes, int, int]:
    """`picture` over white at `scale`, at most 1, as JPEG, with its width and height in pixels."""
    small = Picture(reduced(picture, scale))
    data, _ = encode(small, "JPEG", quality=THUMBNAIL_QUALITY)
    return data, small.width, small.height
