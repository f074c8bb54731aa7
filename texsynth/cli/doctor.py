"""texsynth doctor."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

import texsynth
from texsynth.cli import options
from texsynth.cli.run import make_screen
from texsynth.cli.show import Screen
from texsynth.errors import ModelError, TexsynthError, UsageError

if TYPE_CHECKING:
    import torch

    from texsynth.reference.comparison import Outcome


OK, BAD = "ok", "bad"

PACKAGES = (
    "torch", "numpy", "pillow", "pyvips", "safetensors", "pydantic", "requests", "filelock",
    "typer", "rich",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One line of the report. exit_code: exit code of the command if this is the worst finding."""

    check: str
    status: str
    text: str
    exit_code: int = 0


AUTO = ("float64", "float32")
"""Float64 shows that a formula is right to the last digit, float32 that it is stable."""

DTYPES = ("auto", *AUTO, "bfloat16", "float16")


@dataclass(frozen=True)
class GradientOptions:
    """The check of the mathematics, and where it computes."""

    gradients: Annotated[
        bool,
        typer.Option(
            "--gradients",
            help="Check the mathematics alone: every layer, loss and gradient, in two ways, on this device.",
            rich_help_panel=options.MACHINE,
        ),
    ] = False
    device: options.Device = None
    dtype: Annotated[
        str | None,
        typer.Option(
            help=f"Of the gradients: {', '.join(DTYPES)}. Default: auto, float64 and float32.",
            rich_help_panel=options.MACHINE,
        ),
    ] = None


@options.grouped
def doctor(*, proof: GradientOptions, screen: options.ScreenOptions) -> None:
    """Check the installation: versions, devices, weights, and a small picture from end to end."""
    show = make_screen(screen)
    if proof.gradients:
        raise typer.Exit(check_gradients(show, proof.device or "auto", proof.dtype or "auto"))
    for option, value in (("--device", proof.device), ("--dtype", proof.dtype)):
        if value is not None:
            raise UsageError(f"{option} {value} needs --gradients; all other checks choose by themselves")
    worst = 0
    for check in (_versions, _devices, _weights, _trial):
        for finding in _guarded(check.__name__.strip("_"), check):
            worst = max(worst, finding.exit_code)
            line = f"{finding.status:8} {finding.check:12} {finding.text}"
            show.result(line, check=finding.check, status=finding.status, text=finding.text)
    raise typer.Exit(worst)


def _versions() -> list[Finding]:
    own = Finding("texsynth", OK, texsynth.__version__)
    python = Finding("python", OK, f"{platform.python_version()} on {platform.platform()}")
    return [own, python, *map(_package, PACKAGES)]


def _package(name: str) -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return Finding(name, OK, version(name))
    except PackageNotFoundError:
        return Finding(name, BAD, f"is not installed; run `pip install {name}`", 1)


def _devices() -> list[Finding]:
    from texsynth.device import devices, has_bfloat16, pick_device

    auto = pick_device()
    native = "bfloat16" if has_bfloat16(auto) else "float32"
    findings = [Finding(name, OK, text) for name, text in devices().items()]
    return [*findings, Finding("auto", OK, f"{auto} in {native}")]


def _weights() -> list[Finding]:
    from texsynth.models.hub.cache import verified
    from texsynth.models.hub.catalog import ASSETS, cache_folder

    cures = {ASSETS: "reinstall texsynth", cache_folder(): "fetch or import it again"}
    return [
        Finding("weights", OK, name)
        if sound
        else Finding("weights", BAD, f"{name} is missing or damaged; {cure}", ModelError.exit_code)
        for folder, cure in cures.items()
        for name, sound in verified(folder)
    ]


def _trial() -> list[Finding]:
    """Stylize a small gradient with the default model."""
    import torch

    from texsynth.config.settings import RunSettings, StylizeSettings
    from texsynth.device import pick_device, pick_dtype
    from texsynth.models.registry import load_model
    from texsynth.pipelines.stylize import fit_style, stylize

    device, settings = pick_device(), StylizeSettings()
    model = load_model(RunSettings().model, device, pick_dtype("auto", device))
    content = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    start = time.perf_counter()
    result = stylize(content, fit_style(content.flip(3) ** 2, model, settings), model, settings)
    milliseconds = 1000 * (time.perf_counter() - start)
    if not bool(result.isfinite().all()):
        return [Finding("trial", BAD, f"{model.name} on {device} gives numbers that are not finite", 1)]
    return [Finding("trial", OK, f"64 x 64 pixels with {model.name} on {device} in {milliseconds:.0f} ms")]


def _guarded(name: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Return the findings of a check; its error is a finding too."""
    try:
        return check()
    except TexsynthError as error:
        return [Finding(name, BAD, str(error), error.exit_code)]
    except (ImportError, OSError) as error:
        return [Finding(name, BAD, f"a package cannot be loaded: {error}", 1)]


PASSED, OUT_OF_BOUNDS, SKIPPED = "ok", "OUT OF BOUNDS", "skipped"


def check_gradients(screen: Screen, device: str, dtype: str) -> int:
    """Run every check that is meant for the number types and show a line each.

    device: a name as for `pick_device`. dtype: one of DTYPES; bfloat16 and float16 are for the parts of the
    program that run in them or are fed them. Returns the exit code, 1 if anything is out of bounds, else 0.
    Raises UsageError for an unknown name.
    """
    if dtype not in DTYPES:
        raise UsageError(f"unknown dtype {dtype!r}; use one of {', '.join(DTYPES)}")
    import torch

    from texsynth.device import pick_device
    from texsynth.reference import program_checks as checks
    from texsynth.reference.comparison import run

    place, statuses = pick_device(device), list[str]()
    if not screen.as_json:
        screen.result(_row("", "type", "what", "from", "part", "error", "bound"))
    for name in AUTO if dtype == "auto" else (dtype,):
        kind = getattr(torch, name)
        for check in checks.CHECKS:
            if kind in check.dtypes:
                outcome = run(check, place, kind)
                statuses.append(_status(outcome))
                _show(screen, place, name, outcome)
    counts = ", ".join(f"{statuses.count(s)} {s.lower()}" for s in (PASSED, OUT_OF_BOUNDS, SKIPPED))
    screen.note(f"{len(statuses)} checks on {place}: {counts}")
    return int(OUT_OF_BOUNDS in statuses)


def _status(outcome: Outcome) -> str:
    return SKIPPED if outcome.skipped else PASSED if outcome.is_ok else OUT_OF_BOUNDS


def _show(screen: Screen, device: torch.device, dtype: str, outcome: Outcome) -> None:
    check, status = outcome.check, _status(outcome)
    fields: dict[str, object] = {
        "check": check.name, "source": check.source, "device": str(device), "dtype": dtype,
        "status": status.lower(),
    }  # fmt: skip
    if outcome.skipped:
        line = f"{_row(status, dtype, check.name, check.source)} {outcome.skipped}"
        screen.result(line, **fields, reason=outcome.skipped)
        return
    error, bound = f"{outcome.error:.1e}", f"{outcome.bound:.1e}"
    # JSON has no infinity, the error of what is not a number.
    number = outcome.error if math.isfinite(outcome.error) else None
    line = _row(status, dtype, check.name, check.source, outcome.part, error, bound)
    screen.result(line, **fields, part=outcome.part, error=number, bound=outcome.bound)


def _row(status: str, dtype: str, what: str, source: str, *rest: str) -> str:
    row = f"{status:13} {dtype:8} {what:31} {source:30}"
    if rest:
        part, error, bound = rest
        row += f" {part:10} {error:>7} {bound:>7}"
    return row
