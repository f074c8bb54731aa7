"""Decode one OpenEXR file: `python exr_child.py FILE PLANES NAMES`. A process of its own.

Of a damaged file the library writes on standard output, where results go. It imports nothing of the project.
"""

import json
import sys

import numpy as np
import OpenEXR


def decode(path: str) -> dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"]:
    """Return the channels of the first part. Raises errors of every kind."""
    with OpenEXR.File(path, separate_channels=True) as file:
        planes = {name: channel.pixels for name, channel in file.channels().items()}
        parts = len(file.parts)
    # Parts that are damaged are left out, and others take their place.
    with OpenEXR.File(path, header_only=True) as file:
        if len(file.parts) != parts:
            raise ValueError("a part is damaged")
    return {name: plane.astype(np.float32) for name, plane in planes.items()}


if __name__ == "__main__":
    source, target, listed = sys.argv[1:]
    try:
        channels = decode(source)
        np.savez(target, *channels.values())
        answer: object = list(channels)
    except Exception as error:
        answer = str(error).split("\n")[0]
    with open(listed, "w", encoding="utf-8") as file:
        json.dump(answer, file)
