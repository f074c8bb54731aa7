"""Maps of surfaces from Python; use it by `import texsynth`."""

from typing import Any, Unpack

import numpy as np
from PIL import Image

from texsynth.api import _do, _Image, log
from texsynth.api_options import ImageLike, Options, given, resolve_settings, run_settings
from texsynth.config.map_settings import MapsSettings
from texsynth.jobs.inputs import PIPE
from texsynth.jobs.map_inputs import ROLES, MapsJob
from texsynth.jobs.maps import EstimateMaps


def maps(
    image: ImageLike,
    *,
    tileable: bool | None = None,
    depth: float | None = None,
    invert: bool | None = None,
    green: str | None = None,
    **options: Unpack[Options],
) -> dict[str, Any]:
    """Guess the maps of the surface in a photograph: "height", "normal", "roughness" and "ao".

    image: at least 16 pixels on both sides. tileable: whether its borders meet; by default as it looks.
    depth: height of the relief over the shorter side. invert: dark is high. green: up or down, where normals
    lean whose green is light. options: see `Options`.

    Returns pictures of the kind of `image`, of one channel but for the normals; arrays of uint8
    give maps of 8 bits, all others of 16. Raises InputError, UsageError, MemoryExhaustedError.

    >>> import numpy as np, texsynth
    >>> wall = np.random.default_rng(0).random((32, 48, 3))
    >>> {name: values.shape for name, values in texsynth.maps(wall).items()}
    {'height': (32, 48), 'normal': (32, 48, 3), 'roughness': (32, 48), 'ao': (32, 48)}
    """
    flags = given(tileable=tileable, depth=depth, invert=invert, green=green)
    settings = resolve_settings(MapsSettings, flags, options)
    shown = _Image.of(image, "image", options.get("name"))
    job = MapsJob(shown.input, PIPE, settings, tuple((role, PIPE) for role in ROLES))
    operation = EstimateMaps(run_settings(options))
    operation.prepare(log.warning)
    result = _do(operation, job, options.get("progress"))
    pictures = [(file.in_memory, shown.back(file.in_memory)) for file in result.files]
    return {
        role: _one_channel(values) if picture.grey else values
        for role, (picture, values) in zip(ROLES, pictures, strict=True)
    }


def _one_channel(values: Any) -> Any:  # noqa: ANN401 (see SameKind)
    """Return the first channel of a picture whose channels are equal."""
    if isinstance(values, Image.Image):
        return values
    if isinstance(values, np.ndarray):
        return values if values.ndim == 2 else values[..., 0]
    return values[..., :1, :, :]
