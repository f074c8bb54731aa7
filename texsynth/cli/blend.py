"""texsynth blend."""

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Annotated, Any

from texsynth.cli import frames, options
from texsynth.cli.options import look_option
from texsynth.cli.run import (
    Sheet,
    look_preset,
    look_settings,
    make_setup,
    piped,
    run_operation,
    stylize_changes,
    without_results,
)
from texsynth.cli.searching import search
from texsynth.config.shared_settings import BlendPreset
from texsynth.config.validation import validate
from texsynth.errors import UsageError


@dataclass(frozen=True)
class MixtureOptions(options.StylizeLookOptions):
    """The styles and the places and shares that they get."""

    masks: list[str] | None = look_option(
        None,
        "--mask",
        metavar="FILE|rest",
        help="Where the style of the same turn goes: white is there, grey is partly, `rest` is what the "
        "other masks leave. One for each --style.",
    )
    content_labels: str | None = look_option(
        None,
        metavar="FILE",
        help="Label map of the content: each colour takes its style from the same one of --style-labels.",
    )
    style_labels: list[str] | None = look_option(
        None, metavar="FILE", help="Label map of a style, one for each --style."
    )
    feather: int | None = look_option(
        None, min=0, help="Pixels over which the borders of labels fade. Default: 4."
    )
    sequential: bool = look_option(False, help="One style after the other, instead of all at once.")
    sweep: int | None = look_option(
        None,
        metavar="N",
        help="Instead of one picture, N steps between two styles, a triangle of three, or a square of "
        "four, and a sheet of them all.",
    )
    styles: list[str] | None = look_option(
        None,
        "--style",
        metavar="PATH[:WEIGHT][@LEVELS]",
        help="A picture, a card, or a folder whose moments add up, like swirl.jpg:0.7 or fine.jpg@1,2. "
        "Repeatable. Not needed with a preset that has styles.",
    )

    def saved(self) -> BlendPreset:
        """Return the styles and what belongs to them: the preset's, and the options over them.

        Styles that are given replace the preset's, with masks and labels of these. Raises UsageError.
        """
        preset = look_preset(self)
        tree = preset.sections.get("blend", {}) if preset else {}
        if self.styles:
            tree = {key: value for key, value in tree.items() if key in ("sequential", "feather")}
        names = ("styles", "masks", "content_labels", "style_labels", "feather")
        given: dict[str, Any] = {
            name: value for name in names if (value := getattr(self, name)) not in (None, [])
        }
        if self.sequential:
            given["sequential"] = True
        # Names of files may hold bytes that are no text, which no preset has.
        return validate(BlendPreset, tree, "").model_copy(update=given)


def blend(
    pictures: Annotated[list[str], options.pictures_argument("CONTENT...")],
    *,
    mixture: MixtureOptions,
    output: Annotated[str | None, options.output_option("CONTENT.blend.png")] = None,
    common: options.StylizeRunOptions,
) -> None:
    """Mix several styles, by weight, level or region."""
    from texsynth.config.settings import StylizeSettings
    from texsynth.jobs.blend_inputs import blend_jobs, make_spec
    from texsynth.jobs.checks import check_headers
    from texsynth.jobs.inputs import find_input, find_inputs

    settings = look_settings(StylizeSettings, mixture, stylize_changes(mixture), beside=["run", "blend"])
    saved = mixture.saved()
    if not saved.styles:
        raise UsageError("no style is given; use --style PATH, or a preset that has styles")
    setup = make_setup(common, output, mixture)
    run, sweep = setup.run, mixture.sweep
    data = piped([*pictures, *saved.styles, *saved.masks, saved.content_labels, *saved.style_labels])
    _check_weights(saved, sweep)
    spec = make_spec(
        saved.styles,
        lambda argument: find_inputs([argument], recursive=False, piped=data),
        lambda argument: find_input(argument, data),
        masks=saved.masks,
        content_labels=saved.content_labels,
        style_labels=saved.style_labels,
        sequential=saved.sequential,
        feather=saved.feather,
    )
    contents = search(setup, pictures, recursive=common.recursive, piped=data)
    contents = without_results(contents, "blend", setup)
    if sweep is not None and len(contents) > 1:
        raise UsageError(f"--sweep is for one content, and {len(contents)} are given; run them singly")
    if sweep is not None and common.sequence:
        raise UsageError("--sweep is for one content, so it does not go with --sequence; leave one out")
    jobs = frames.arranged(
        blend_jobs(contents, spec, settings, output, sweep=sweep, result_format=setup.result_format), common
    )
    sheet = None
    if sweep is not None:
        # It lies beside the first picture, and is called like it.
        first = jobs[0].output
        sheet = Sheet(
            first.with_name(f"{first.stem.rpartition('.')[0]}.sweep{first.suffix}"),
            lambda report: import_module("texsynth.jobs.blend").sweep_sheet(report, sweep),
        )
    run_operation(
        jobs,
        partial(check_headers, needed=spec.inputs, run=run),
        lambda _: import_module("texsynth.jobs.stylize").Stylize(run, jobs[0]),
        setup,
        sheet=sheet,
    )


def _check_weights(mixture: BlendPreset, sweep: int | None) -> None:
    """Raise UsageError for weights and options that a sweep or a sequence does not use."""
    from texsynth.jobs.blend_inputs import style_argument

    option = "--sweep" if sweep is not None else "--sequential" if mixture.sequential else None
    for text in mixture.styles:
        if style_argument(text).weight is not None and option:
            raise UsageError(f"--style {text!r} has a weight, which {option} does not use; leave it out")
    if sweep is not None and (mixture.masks or mixture.sequential or mixture.content_labels):
        raise UsageError("--sweep mixes by weight alone; use it without masks, labels and --sequential")
