"""Several styles at once from Python; use it by `import texsynth`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Unpack

from texsynth.api_options import (
    STYLIZE_RUN_KEYS,
    ImageLike,
    StylizeOptions,
    loaded_model,
    preset_of,
    run_settings,
    same_kind,
    stylize_settings,
)
from texsynth.api_pictures import UserPicture, do_job, prepare
from texsynth.config.shared_settings import BlendPreset
from texsynth.config.validation import validate
from texsynth.errors import UsageError
from texsynth.jobs.blend_inputs import BlendJob, BlendSpec, StyleSource, check_spec, make_spec
from texsynth.jobs.inputs import PIPE, Input, find_input, find_inputs
from texsynth.jobs.stylize import Stylize


@same_kind
def blend(
    content: ImageLike,
    styles: Sequence[ImageLike] = (),
    *,
    weights: Sequence[float] | None = None,
    masks: Sequence[ImageLike | None] | None = None,
    content_labels: ImageLike | None = None,
    style_labels: Sequence[ImageLike | None] | None = None,
    feather: int | None = None,
    sequential: bool | None = None,
    **options: Unpack[StylizeOptions],
) -> Any:  # noqa: ANN401 (see SameKind)
    """Give a picture several styles at once, by weight or by region.

    styles: pictures, or paths of style cards; only a preset that has styles needs none. weights: one for
    each, at least 0; equal by default. masks: one for each, white where its style goes, None for what the
    others leave. content_labels, style_labels: label maps of the content and of each style, None for one
    without; each colour takes its style from the same one. feather: pixels over which the borders of labels
    fade, 4 by default. sequential: one style after the other. The other arguments, result and errors are
    those of `Stylizer`.

    >>> import numpy as np, texsynth
    >>> random = np.random.default_rng(0)
    >>> styles = [random.random((32, 32, 3)), random.random((40, 24, 3)) ** 2]
    >>> texsynth.blend(random.random((48, 64, 3)), styles, weights=[3, 1]).shape
    (48, 64, 3)
    """
    settings = stylize_settings(options, beside=["run", "blend"])
    spec = _preset_spec(options, bare=bool(styles))
    if styles:
        inputs = [UserPicture.of(style, f"style {number}").input for number, style in enumerate(styles, 1)]
        spec = replace(spec, styles=tuple(StyleSource((item,)) for item in inputs))
    if not spec.styles:
        raise UsageError("no style is given; give styles, or a preset that has some")
    _check_counts(len(spec.styles), weights=weights, masks=masks, label_maps=style_labels)
    if feather is not None and feather < 0:
        raise UsageError(f"feather is {feather} but must be at least 0")
    sources = list(spec.styles)
    for index, part in enumerate(sources):
        changes: dict[str, Any] = {} if weights is None else {"weight": float(weights[index])}
        if masks is not None:
            changes["mask"] = _optional(masks[index], f"mask {index + 1}")
        if style_labels is not None:
            changes["labels"] = _optional(style_labels[index], f"label map {index + 1}")
        sources[index] = replace(part, **changes)
    spec = BlendSpec(
        tuple(sources),
        spec.content_labels if content_labels is None else _optional(content_labels, "content's label map"),
        spec.sequential if sequential is None else sequential,
        spec.feather if feather is None else feather,
    )
    if spec.sequential and (weights is not None or any(part.weight != 1 for part in sources)):
        raise UsageError("sequential lays every style whole over the last, without weights; leave them out")
    check_spec(spec, settings)
    image = UserPicture.of(content, "content", options.get("name"))
    shares, vary = tuple(source.weight for source in sources), bool(options.get("name"))
    job = BlendJob(image.input, PIPE, spec, settings, shares, vary=vary)
    run = run_settings(options, STYLIZE_RUN_KEYS)
    operation = Stylize(run, job, model=loaded_model(options))
    prepare(operation)
    return image.back(do_job(operation, job, options.get("progress")).files[0].in_memory, run)


def _preset_spec(options: StylizeOptions, *, bare: bool) -> BlendSpec:
    """Return the styles of a preset and what belongs to them. bare: without styles and their maps."""
    preset = preset_of(options)
    saved = validate(BlendPreset, preset.sections.get("blend", {}) if preset else {}, "")
    if bare:
        return BlendSpec((), None, saved.sequential, saved.feather)
    return make_spec(
        saved.styles,
        lambda argument: find_inputs([argument], recursive=False),
        find_input,
        masks=saved.masks,
        content_labels=saved.content_labels,
        style_labels=saved.style_labels,
        sequential=saved.sequential,
        feather=saved.feather,
    )


def _check_counts(styles: int, **given: Sequence[object] | None) -> None:
    """Raise UsageError for arguments that are not one for each style."""
    for name, values in given.items():
        if values is not None and len(values) != styles:
            plural = name.replace("_", " ")
            raise UsageError(f"{styles} styles have {len(values)} {plural}; give one for each")


def _optional(picture: ImageLike | None, role: str) -> Input | None:
    return None if picture is None else UserPicture.of(picture, role).input
