"""Decode one OpenEXR file: `python exr_child.py FILE PLANES NAMES`. A process of its own.

Of a damaged file the library writes on standard output, where results go. It imports nothing of the project.
PLANES becomes the channels one after the other, as float32; NAMES an object of them, in that order, that says
which the file holds with 16 bits, or what failed.
"""

import json
import sys

import Imath
import numpy as np
import OpenEXR

BLOCK_ROWS = 64  # Decoded at once, a multiple of those that compressions pack together


def decode(source: str, target: str) -> dict[str, bool]:
    """Write the channels of the first part that have a sample for every pixel.

    Returns their names, and which are stored as floats of 16 bits. Raises errors of every kind.
    """
    # Parts that are damaged are left out, and others take their place.
    with OpenEXR.File(source, header_only=True) as whole:
        first = whole.parts[0].header
    file = OpenEXR.InputFile(source)
    header = file.header()
    if not file.isComplete() or header.get("name", b"") not in (b"", str(first.get("name", "")).encode()):
        raise ValueError("a part is damaged")
    window, number = header["dataWindow"], Imath.PixelType(Imath.PixelType.FLOAT)
    half, channels = Imath.PixelType(Imath.PixelType.HALF), header["channels"].items()
    names = {name: one.type == half for name, one in channels if one.xSampling == one.ySampling == 1}
    width, height = window.max.x - window.min.x + 1, window.max.y - window.min.y + 1
    with open(target, "wb") as planes:
        for top in range(0, height, BLOCK_ROWS):
            last = min(top + BLOCK_ROWS, height) - 1
            block = file.channels(list(names), number, window.min.y + top, window.min.y + last)
            for place, samples in enumerate(block):
                planes.seek((place * height + top) * width * 4)
                planes.write(np.frombuffer(samples, np.float32).tobytes())
    return names


if __name__ == "__main__":
    picture, output, listed = sys.argv[1:]
    try:
        answer: object = decode(picture, output)
    except Exception as error:
        answer = str(error).split("\n")[0] or type(error).__name__
    with open(listed, "w", encoding="utf-8") as file:
        json.dump(answer, file)
