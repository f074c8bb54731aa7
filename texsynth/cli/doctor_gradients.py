"""texsynth doctor --gradients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from texsynth.cli.show import Screen
from texsynth.errors import UsageError

if TYPE_CHECKING:
    import torch

    from texsynth.reference.comparison import Outcome

AUTO = ("float64", "float32")
"""Both tell something: float64 whether a formula is right to the last digit, float32 whether it is stable."""

DTYPES = ("auto", *AUTO, "bfloat16", "float16")

OK, BAD, SKIPPED = "ok", "OUT OF BOUNDS", "skipped"


def prove(screen: Screen, device: str | None, dtype: str | None) -> int:
    """Run every check that is meant for the number types and show a line each. Returns the exit code.

    device: as everywhere. dtype: one of DTYPES; bfloat16 and float16 are for the parts of the program that
    run in them or are fed them. Raises UsageError for another name. 1 if anything is out of bounds, else 0.
    """
    wanted = dtype or "auto"
    if wanted not in DTYPES:
        raise UsageError(f"unknown dtype {wanted!r}; use one of {', '.join(DTYPES)}")
    import torch

    from texsynth.device import pick_device
    from texsynth.reference import checks
    from texsynth.reference.comparison import run

    place, found = pick_device(device or "auto"), []
    if not screen.as_json:
        screen.result(_row("", "type", "what", "from", "part", "error", "bound"))
    for name in AUTO if wanted == "auto" else (wanted,):
        kind = getattr(torch, name)
        for check in checks.CHECKS:
            if kind in check.dtypes:
                outcome = run(check, place, kind)
                found.append(_status(outcome))
                _show(screen, place, name, outcome)
    counts = ", ".join(f"{found.count(status)} {status.lower()}" for status in (OK, BAD, SKIPPED))
    screen.note(f"{len(found)} checks on {place}: {counts}")
    return int(BAD in found)


def _status(outcome: Outcome) -> str:
    return SKIPPED if outcome.skipped else OK if outcome.is_ok else BAD


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
