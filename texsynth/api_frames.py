"""The frames of a film from Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Unpack

from texsynth.api_options import (
    STYLIZE_RUN_KEYS,
    ImageLike,
    StylizeOptions,
    loaded_model,
    run_settings,
    stylize_settings,
)
from texsynth.api_pictures import UserPicture, do_job, prepare
from texsynth.errors import UsageError
from texsynth.jobs.blend_inputs import StylizeJob
from texsynth.jobs.frames import WINDOW, check_take, tweens
from texsynth.jobs.inputs import PIPE
from texsynth.jobs.stylize import Stylize


def stylize_sequence(
    frames: Sequence[ImageLike], style: ImageLike, *, window: int = WINDOW, **options: Unpack[StylizeOptions]
) -> Iterator[Any]:
    """Give the frames of one take a style, so that what does not change in them does not flicker.

    frames: in their order. window: frames from one measurement to the next, at least 1. The other
    arguments and errors are those of `Stylizer`; a `name` is not used. Yields a picture for each frame.

    >>> import numpy as np, texsynth
    >>> random = np.random.default_rng(0)
    >>> frames, style = [random.random((40, 56, 3))] * 3, random.random((32, 32, 3))
    >>> first, *_, last = texsynth.stylize_sequence(frames, style)
    >>> bool((first == last).all())
    True
    """
    if window < 1:
        raise UsageError(f"window is {window} but must be at least 1")
    settings = stylize_settings(options)
    check_take(settings)
    pictures = [UserPicture.of(frame, f"frame {number}") for number, frame in enumerate(frames, 1)]
    look = UserPicture.of(style, "style").input
    jobs = [
        StylizeJob(picture.input, PIPE, look, settings, tween=tween)
        for picture, tween in zip(pictures, tweens([p.input for p in pictures], window), strict=True)
    ]
    run = run_settings(options, STYLIZE_RUN_KEYS)
    operation = Stylize(run, jobs[0] if jobs else None, model=loaded_model(options))
    prepare(operation)
    for picture, job in zip(pictures, jobs, strict=True):
        yield picture.back(do_job(operation, job, options.get("progress")).files[0].in_memory, run)
