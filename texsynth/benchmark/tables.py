"""What `texsynth bench` found as tables for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from texsynth.benchmark.names import IN_FLOAT32, PAPER, PIPELINES, PUBLISHED, by_level
from texsynth.benchmark.run import METHODS, Measurement, Report
from texsynth.benchmark.stages import FIT_SETTINGS, PAPER_IFT, SETTINGS
from texsynth.reference.full_width import NAME as FULL_WIDTH

PAPER_SECONDS = {256: 0.13, 512: 0.31, 768: 0.62, 1024: 0.92}
"""Chiu and Gurari 2020, supplement, table 1: by side of the square pictures."""

PAPER_ROW = "paper (GPU not named)"

WITH_MEMORY = (*PIPELINES, *PAPER, *PUBLISHED)
"""Stages whose memory a table shows; that of all is in the JSON."""

Name = tuple[str, str, str]
"""Device, number type and model."""

Cells = Sequence[str]


@dataclass(frozen=True)
class Ratio:
    """How many times faster `fast` is than `slow`, by medians of one run."""

    slow: str
    fast: str
    by_size: dict[int, float]


def document(report: Report) -> str:
    """All of it as JSON: hardware, settings, every sample."""
    tree = {
        **facts(report),
        "measurements": [plain(m) for m in report.measurements],
        "paper": {"seconds": PAPER_SECONDS, "hardware": None},
        "ratios": [asdict(ratio) for ratio in ratios(report)],
        "interrupted": report.interrupted,
    }
    return json.dumps(tree, indent=1, ensure_ascii=False) + "\n"


def facts(report: Report) -> dict[str, Any]:
    """What was measured on what, and how."""
    kinds = {name: METHODS.get(name.split(":")[0]) for name in report.devices}
    return {
        "hardware": report.hardware,
        "settings": {
            **asdict(report.plan),
            "paper_ift": PAPER_IFT.model_dump(),
            "fits": {name: settings.model_dump() for name, settings in FIT_SETTINGS.items()},
            "pipelines": {name: settings.model_dump() for name, settings in SETTINGS.items()},
        },
        "weights": report.weights,
        "memory_method": kinds,
    }


def plain(found: Measurement) -> dict[str, Any]:
    """One measurement for JSON."""
    return {
        **asdict(found),
        "computes_in": "float32" if found.stage in IN_FLOAT32 else found.dtype,
        "median": found.median,
        "least": min(found.seconds, default=None),
    }


def tables(report: Report) -> Iterator[str]:
    """For people: one of times and memory for every case, the paper's, and how much faster what is."""
    for case in report.cases:
        yield _case(report, case)
    paper = _paper(report)
    if len(paper) > 1:
        title = "The paper's table in seconds (IFT, n_upd 15, n_iter 1, the style measured too)"
        yield _table(title, list(PAPER_SECONDS), paper)
    found = ratios(report)
    if found:
        rows = [(f"{r.slow} / {r.fast}", [_times(r.by_size.get(n)) for n in _sizes(report)]) for r in found]
        yield _table("Times faster, by medians of this run", _sizes(report), rows)


def ratios(report: Report) -> list[Ratio]:
    """Published forms against ours: the transforms on features of the same model, and whole cascades."""
    found = [ratio for case in report.cases for ratio in _transform_ratios(report, case)]
    found += [ratio for case in report.cases for ratio in _cascade_ratios(report, case)]
    return [ratio for ratio in found if ratio.by_size]


def _transform_ratios(report: Report, case: Name) -> Iterator[Ratio]:
    for reference, ours in (
        ("reference-ift-direct", "transform-ift"),
        ("reference-ift-fused", "transform-ift"),
        ("reference-wct-svd", "transform-wct"),
    ):
        slow, fast = (_total(report, case, by_level(stage)) for stage in (reference, ours))
        yield _ratio(report, f"{reference}, all levels", f"{ours} {_called(report, case)}", slow, fast)


def _cascade_ratios(report: Report, case: Name) -> Iterator[Ratio]:
    device, dtype, model = case
    stage = "artistic-with-style"
    fast = _total(report, case, [stage])
    for other in report.cases:
        if other[0] == device and other[2] == FULL_WIDTH:
            rivals = list(PUBLISHED)
            if model != FULL_WIDTH and other[1] == dtype:
                rivals.append(stage)
            for rival in rivals:
                label = f"{FULL_WIDTH} {rival} {'float32' if rival in IN_FLOAT32 else dtype}"
                slow = _total(report, other, [rival])
                yield _ratio(report, label, f"{stage} {_called(report, case)}", slow, fast)


def _ratio(
    report: Report,
    slow_name: str,
    fast_name: str,
    slow: Callable[[int], float | None],
    fast: Callable[[int], float | None],
) -> Ratio:
    pairs = {size: (slow(size), fast(size)) for size in _sizes(report)}
    return Ratio(slow_name, fast_name, {n: a / b for n, (a, b) in pairs.items() if a is not None and b})


def _total(report: Report, case: Name, stages: Sequence[str]) -> Callable[[int], float | None]:
    """Sum of the medians of `stages` at a size; None unless all were measured."""

    def at(size: int) -> float | None:
        found = [report.of(case, stage, size) for stage in stages]
        medians = [m.median for m in found if m is not None and m.median is not None]
        return sum(medians) if len(medians) == len(stages) else None

    return at


def _case(report: Report, case: Name) -> str:
    sizes = _sizes(report)
    mine = [m for m in report.measurements if (m.device, m.dtype, m.model) == case]
    stages = list(dict.fromkeys(m.stage for m in mine))
    rows = [
        (
            f"{stage} (float32)" if stage in IN_FLOAT32 else stage,
            [_time(report, case, stage, n) for n in sizes],
        )
        for stage in stages
    ]
    text = _table(f"{_called(report, case)} on {report.devices[case[0]]}: median ms", sizes, rows)
    kept = [stage for stage in stages if stage in WITH_MEMORY]
    memory = [(stage, [_memory(report, case, stage, n) for n in sizes]) for stage in kept]
    if memory:
        text += "\n\n" + _table("Peak memory above the start in MiB", sizes, memory)
    reasons: dict[str, list[str]] = {}
    for m in mine:
        if m.reason:
            reasons.setdefault(m.reason, []).append(f"{m.stage} at {m.size}")
    return "\n".join([text, *(f"not measured: {', '.join(what)}: {why}" for why, what in reasons.items())])


def _paper(report: Report) -> list[tuple[str, Cells]]:
    """The paper's row, and those of ours that were measured at one of its sizes."""
    rows: list[tuple[str, Cells]] = [(PAPER_ROW, [f"{seconds:.2f}" for seconds in PAPER_SECONDS.values()])]
    for case in report.cases:
        for stage in PAPER:
            found = [report.of(case, stage, size) for size in PAPER_SECONDS]
            medians = [None if m is None else m.median for m in found]
            if any(medians):
                name = f"{stage}, {_called(report, case)} on {report.devices[case[0]]}"
                rows.append((name, ["-" if m is None else _figure(m) for m in medians]))
    return rows


def _table(title: str, sizes: Sequence[int], rows: Sequence[tuple[str, Cells]]) -> str:
    """Aligned text with a column for every size."""
    first = max([len(name) for name, _ in rows], default=0)
    width = max([9, *(len(cell) + 2 for _, cells in rows for cell in cells)])
    lines = [("", [str(size) for size in sizes]), *rows]
    body = (name.ljust(first) + "".join(cell.rjust(width) for cell in cells) for name, cells in lines)
    return "\n".join([title, *body])


def _sizes(report: Report) -> tuple[int, ...]:
    return report.plan.sizes


def _called(report: Report, case: Name) -> str:
    """Model and number type, and the device where there are several."""
    device, dtype, model = case
    return f"{model} {dtype}" + (f" {device}" if len(report.devices) > 1 else "")


def _time(report: Report, case: Name, stage: str, size: int) -> str:
    found = report.of(case, stage, size)
    return "-" if found is None or found.median is None else _figure(1000 * found.median)


def _memory(report: Report, case: Name, stage: str, size: int) -> str:
    found = report.of(case, stage, size)
    return "-" if found is None or found.memory is None else f"{found.memory.bytes / 2**20:.0f}"


def _times(value: float | None) -> str:
    return "-" if value is None else _figure(value)


def _figure(value: float) -> str:
    """Three digits that count, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"
