"""From a request to the job that the command would do, by the same functions as the command's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from texsynth.config.map_settings import MapsSettings
from texsynth.config.settings import ExpandSettings, StylizeSettings
from texsynth.jobs.blend_inputs import BlendSpec, StyledJob, StyleSource, blend_jobs, stylize_jobs
from texsynth.jobs.checks import check_depth, check_headers, check_outputs
from texsynth.jobs.expand_inputs import ExpandJob, expand_jobs, plan_tasks
from texsynth.jobs.expand_reading import LoadedInputs, check_textures
from texsynth.jobs.files import OutputPolicy
from texsynth.jobs.inputs import Input, Job
from texsynth.jobs.map_inputs import MapsJob, maps_jobs
from texsynth.jobs.operation import Operation
from texsynth.serve.asking import Asked
from texsynth.serve.settled import Settled

if TYPE_CHECKING:
    from texsynth.jobs.blend import FitStyle
    from texsynth.models.registry import Model


@dataclass(frozen=True)
class Plan:
    """A job, what is to be looked at before it, and what does it."""

    job: Job
    policy: OutputPolicy
    check: Callable[[Sequence[Any]], tuple[Sequence[Any], Sequence[Any]]]
    """Reads the inputs as far as the command does before its work. Raises TexsynthError."""
    operation: Callable[[Model, FitStyle | None], Operation[Any]]
    """Makes the operation with a network, and with what measures styles, if that is another than usual."""
    loaded: LoadedInputs = field(default_factory=dict)
    """What `check` has read, for the operation."""

    def refuse(self) -> None:
        """Raise the TexsynthError of whatever can be known to be wrong before the work."""
        try:
            _, failed = self.check([self.job])
        finally:
            # Jobs that wait shall not hold their pictures.
            self.loaded.clear()
        if failed:
            raise failed[0].error


def plan(asked: Asked, settled: Settled, inputs: Mapping[str, Input], output: str) -> Plan:
    """Plan the job of a request, whose pictures are `inputs` by their ids. output: a folder, or `-`.

    Raises TexsynthError for what does not go together.
    """
    make = {"stylize": _styled, "blend": _styled, "maps": _maps}.get(asked.command, _texture)
    planned = make(asked, settled, inputs, output)
    check_depth([planned.job], settled.run, planned.policy.suffix)
    if output != "-":
        check_outputs([planned.job], force=False, policy=planned.policy)
    return planned


def _policy(settled: Settled) -> OutputPolicy:
    suffix, run = settled.result_format.asked or ".png", settled.run
    return OutputPolicy(suffix=suffix, quality=run.quality, strip=run.strip)


def _styled(asked: Asked, settled: Settled, inputs: Mapping[str, Input], output: str) -> Plan:
    settings = settled.settings
    assert isinstance(settings, StylizeSettings)
    content = inputs[asked.picture]
    if asked.command == "stylize":
        style = inputs[asked.styles[0].picture]
        (job,) = stylize_jobs([content], style, settings, output, result_format=settled.result_format)
        return _plan_styled(job, [style], settled)
    spec = BlendSpec(
        tuple(
            StyleSource((inputs[style.picture],), style.weight, mask=_optional(inputs, style.mask))
            for style in asked.styles
        ),
        sequential=settled.mixture.sequential,
        feather=settled.mixture.feather,
    )
    (blended,) = blend_jobs([content], spec, settings, output, result_format=settled.result_format)
    return _plan_styled(blended, spec.inputs, settled)


def _plan_styled(job: StyledJob, needed: Sequence[Input], settled: Settled) -> Plan:
    def operation(model: Model, fit: FitStyle | None) -> Operation[StyledJob]:
        from texsynth.jobs.stylize import Stylize
        from texsynth.pipelines.stylize import fit_style

        return Stylize(settled.run, job, model=model, fit=fit or fit_style)

    return Plan(job, _policy(settled), partial(check_headers, needed=needed, run=settled.run), operation)


def _texture(asked: Asked, settled: Settled, inputs: Mapping[str, Input], output: str) -> Plan:
    settings = settled.settings
    assert isinstance(settings, ExpandSettings)
    assert asked.command in ("expand", "tile")
    maps: dict[str, Any] = {
        name: item for name in ("mask", "hole") if (item := _optional(inputs, getattr(asked, name)))
    }
    tasks = plan_tasks(
        "tile" if asked.command == "tile" else "expand",
        [inputs[asked.picture]],
        siblings=[inputs[sibling] for sibling in asked.siblings],
        **maps,
    )
    (job,) = expand_jobs(tasks, settings, output, result_format=settled.result_format)
    loaded: LoadedInputs = {}

    def operation(model: Model, fit: FitStyle | None) -> Operation[ExpandJob]:
        del fit
        from texsynth.jobs.expand import Expand

        return Expand(settled.run, loaded, model=model)

    check = partial(check_textures, run=settled.run, loaded=loaded)
    return Plan(job, _policy(settled), check, operation, loaded)


def _maps(asked: Asked, settled: Settled, inputs: Mapping[str, Input], output: str) -> Plan:
    settings = settled.settings
    assert isinstance(settings, MapsSettings)
    (job,) = maps_jobs([inputs[asked.picture]], settings, output, settled.result_format)

    def operation(model: Model, fit: FitStyle | None) -> Operation[MapsJob]:
        del model, fit
        from texsynth.jobs.maps import EstimateMaps

        return EstimateMaps(settled.run)

    return Plan(job, _policy(settled), partial(check_headers, needed=(), run=settled.run), operation)


def _optional(inputs: Mapping[str, Input], picture: str | None) -> Input | None:
    return None if picture is None else inputs[picture]
