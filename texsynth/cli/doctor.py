"""texsynth doctor."""

import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import typer

import texsynth
from texsynth.cli import options
from texsynth.cli.show import Screen
from texsynth.errors import ModelError, TexsynthError, UsageError, is_exhaustion

PACKAGES = (
    "torch", "torchvision", "numpy", "pillow", "pyvips", "safetensors", "pydantic", "pyyaml", "requests",
    "filelock", "platformdirs", "jinja2", "typer", "rich",
)  # fmt: skip

AUTO = ("float64", "float32")
"""Float64 shows that a formula is right to the last digit, float32 that it is stable."""

DTYPES = ("auto", *AUTO, "bfloat16", "float16")

PASSED, OUT_OF_BOUNDS, SKIPPED = "ok", "OUT OF BOUNDS", "skipped"


@dataclass(frozen=True)
class Finding:
    """One line of the report. exit_code: that of the command if this is the worst; 0 if all is well."""

    check: str
    text: str
    exit_code: int = 0


def doctor(
    *,
    gradients: bool = options.machine_option(
        False,
        help="Check the mathematics alone: every layer, loss and gradient, in two ways, on this device.",
    ),
    device: options.Device = None,
    threads: options.Threads = None,
    dtype: str | None = options.machine_option(
        None, help=f"Of the gradients: {', '.join(DTYPES)}. Default: auto, float64 and float32."
    ),
    screen: options.ScreenOptions,
) -> None:
    """Check the installation: versions, devices, weights, and a small picture from end to end."""
    show = screen.screen()

    def thread_count() -> list[Finding]:
        if threads is not None:
            from texsynth.device import set_threads

            set_threads(threads)
        return []

    if gradients:
        thread_count()
        raise typer.Exit(check_gradients(show, device or "auto", dtype or "auto"))
    for option, value in (("--device", device), ("--dtype", dtype)):
        if value is not None:
            raise UsageError(f"{option} {value} needs --gradients; all other checks choose by themselves")
    worst = 0
    for check in (_versions, thread_count, _devices, _weights, _trial):
        for finding in _guarded(check.__name__.strip("_"), check):
            worst = max(worst, finding.exit_code)
            status = "bad" if finding.exit_code else "ok"
            line = f"{status:8} {finding.check:12} {finding.text}"
            show.result(line, check=finding.check, status=status, text=finding.text)
    raise typer.Exit(worst)


def _versions() -> list[Finding]:
    python = Finding("python", f"{platform.python_version()} on {platform.platform()}")
    return [Finding("texsynth", texsynth.__version__), python, *map(_package, PACKAGES)]


def _package(name: str) -> Finding:
    try:
        return Finding(name, version(name))
    except PackageNotFoundError:
        return Finding(name, f"is not installed; run `pip install {name}`", 1)


def _devices() -> list[Finding]:
    from texsynth.device import devices, has_bfloat16, pick_device

    auto = pick_device()
    native = "bfloat16" if has_bfloat16(auto) else "float32"
    findings = [Finding(name, text) for name, text in devices().items()]
    return [*findings, Finding("auto", f"{auto} in {native}")]


def _weights() -> list[Finding]:
    from texsynth.models.hub.cache import verified
    from texsynth.models.hub.catalog import ASSETS, cache_folder

    cures = {ASSETS: "reinstall texsynth", cache_folder(): "fetch or import it again"}
    return [
        Finding("weights", name)
        if sound
        else Finding("weights", f"{name} is missing or damaged; {cure}", ModelError.exit_code)
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
        return [Finding("trial", f"{model.name} on {device} gives numbers that are not finite", 1)]
    return [Finding("trial", f"64 x 64 pixels with {model.name} on {device} in {milliseconds:.0f} ms")]


def _guarded(name: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Return the findings of a check; its error is a finding too."""
    try:
        return check()
    except TexsynthError as error:
        return [Finding(name, str(error), error.exit_code)]
    except (ImportError, OSError) as error:
        if is_exhaustion(error):
            raise
        return [Finding(name, f"a package cannot be loaded: {error}", 1)]


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
    row = "{:13} {:8} {:31} {:30} {}".format
    figures = "{:10} {:>7} {:>7}".format
    if not screen.as_json:
        screen.result(row("", "type", "what", "from", figures("part", "error", "bound")))
    for name in AUTO if dtype == "auto" else (dtype,):
        kind = getattr(torch, name)
        for check in checks.CHECKS:
            if kind not in check.dtypes:
                continue
            outcome = run(check, place, kind)
            status = SKIPPED if outcome.skipped else PASSED if outcome.is_ok else OUT_OF_BOUNDS
            statuses.append(status)
            text = figures(outcome.part, f"{outcome.error:.1e}", f"{outcome.bound:.1e}")
            # JSON has no infinity, the error of what is not a number.
            number = outcome.error if math.isfinite(outcome.error) else None
            measured = {"part": outcome.part, "error": number, "bound": outcome.bound}
            screen.result(
                row(status, name, check.name, check.source, outcome.skipped or text),
                check=check.name,
                source=check.source,
                device=str(place),
                dtype=name,
                status=status.lower(),
                **({"reason": outcome.skipped} if outcome.skipped else measured),
            )
    counts = ", ".join(f"{statuses.count(s)} {s.lower()}" for s in (PASSED, OUT_OF_BOUNDS, SKIPPED))
    screen.note(f"{len(statuses)} checks on {place}: {counts}")
    return int(OUT_OF_BOUNDS in statuses)
