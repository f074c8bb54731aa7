"""Results of `texsynth bench` as tables for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from statistics import median
from typing import Any

from texsynth.benchmark.names import IN_FLOAT32, PAPER, PIPELINES, PUBLISHED, REFERENCES, by_level
from texsynth.benchmark.run import METHODS, Case, Measurement, Plan
from texsynth.benchmark.stages import FIT_SETTINGS, PAPER_IFT, SETTINGS
from texsynth.device import hardware
from texsynth.models.registry import Model
from texsynth.reference.cascade import NAME as FULL_WIDTH

PAPER_SECONDS = {256: 0.13, 512: 0.31, 768: 0.62, 1024: 0.92}
"""Chiu and Gurari 2020, supplement, table 1: by side of the square pictures."""

WITH_MEMORY = (*PIPELINES, *PAPER, *PUBLISHED)
"""Stages whose memory a table shows; that of all is in the JSON."""

Stages = tuple[Case, Sequence[str]]


@dataclass
class Report:
    """Measurements by case, stage and size, with the machine, the settings and the models as JSON."""

    plan: Plan
    facts: dict[str, Any]
    measurements: dict[tuple[Case, str, int], Measurement] = field(default_factory=dict)
    interrupted: bool = False

    @classmethod
    def of(cls, plan: Plan, models: Sequence[Model]) -> Report:
        """Return a report without measurements."""
        devices = list(dict.fromkeys(model.device for model in models))
        settings = {
            **asdict(plan),
            "paper_ift": PAPER_IFT.model_dump(),
            "fits": {name: settings.model_dump() for name, settings in FIT_SETTINGS.items()},
            "pipelines": {name: settings.model_dump() for name, settings in SETTINGS.items()},
        }
        facts = {
            "hardware": hardware(devices),
            "settings": settings,
            "weights": {model.name: model.sha256 for model in models},
            "memory_method": {str(device): METHODS.get(device.type) for device in devices},
        }
        return cls(plan, facts)

    @property
    def cases(self) -> list[Case]:
        """All cases in the order in which they were measured."""
        return list(dict.fromkeys(case for case, _, _ in self.measurements))

    def median(self, size: int, case: Case, stages: Sequence[str]) -> float | None:
        """Return the sum of the medians of `stages` in seconds; None unless all were measured."""
        results = [self.measurements.get((case, stage, size)) for stage in stages]
        medians = [median(result.seconds) for result in results if result and result.seconds]
        return sum(medians) if len(medians) == len(stages) else None

    def label(self, case: Case, *, full: bool = False) -> str:
        """Name model and number type, and the device if there are several; full: the hardware too."""
        devices = self.facts["hardware"]["devices"]
        text = f"{case.model} {case.dtype}" + (f" {case.device}" if len(devices) > 1 else "")
        return f"{text} on {devices[case.device]['name']}" if full else text


@dataclass(frozen=True)
class Ratio:
    """Speed of `fast` in multiples of that of `slow`, by medians of one run."""

    slow: str
    fast: str
    by_size: dict[int, float]


def document(report: Report) -> str:
    """Return all of it as JSON: hardware, settings, every sample."""
    tree = {
        **report.facts,
        "measurements": [plain(m) for m in report.measurements.values()],
        "paper": {"seconds": PAPER_SECONDS, "hardware": None},
        "ratios": [asdict(ratio) for ratio in ratios(report)],
        "interrupted": report.interrupted,
    }
    return json.dumps(tree, indent=1, ensure_ascii=False) + "\n"


def plain(result: Measurement) -> dict[str, Any]:
    """Return one measurement for JSON."""
    fields = asdict(result)
    return {
        **fields.pop("case")._asdict(),
        **fields,
        "memory": result.memory and result.memory._asdict(),
        "computes_in": "float32" if result.stage in IN_FLOAT32 else result.case.dtype,
        "median": median(result.seconds) if result.seconds else None,
        "least": min(result.seconds, default=None),
    }


def ratios(report: Report) -> Iterator[Ratio]:
    """Compare published forms with ours: the transforms on features of one model, and whole cascades."""

    def ratio(name: str, slow: Stages, fast_name: str, fast: Stages) -> Iterator[Ratio]:
        pairs = ((n, report.median(n, *slow), report.median(n, *fast)) for n in report.plan.sizes)
        by_size = {size: a / b for size, a, b in pairs if a is not None and b}
        if by_size:
            yield Ratio(name, f"{fast_name} {report.label(fast[0])}", by_size)

    for case in report.cases:
        for reference, ours in REFERENCES.items():
            slow, fast = (case, by_level(reference)), (case, by_level(ours))
            yield from ratio(f"{reference}, all levels", slow, ours, fast)
    cascade = "artistic-with-style"
    for case, wide in product(report.cases, report.cases):
        if wide.device == case.device and wide.model == FULL_WIDTH:
            comparable = case.model != FULL_WIDTH and wide.dtype == case.dtype
            for rival in (*PUBLISHED, cascade) if comparable else PUBLISHED:
                name = f"{FULL_WIDTH} {rival} {'float32' if rival in IN_FLOAT32 else wide.dtype}"
                yield from ratio(name, (wide, (rival,)), cascade, (case, (cascade,)))


def tables(report: Report) -> Iterator[str]:
    """Yield tables for people: times and memory of every case, the paper's times, and ratios."""
    for case in report.cases:
        yield _case(report, case)
    paper = {"paper (GPU not named)": [f"{seconds:.2f}" for seconds in PAPER_SECONDS.values()]}
    for case, stage in product(report.cases, PAPER):
        medians = [report.median(size, case, (stage,)) for size in PAPER_SECONDS]
        if any(medians):
            paper[f"{stage}, {report.label(case, full=True)}"] = [_figure(value) for value in medians]
    if len(paper) > 1:
        title = "The paper's table in seconds (IFT, n_upd 15, n_iter 1, the style measured too)"
        yield _table(title, list(PAPER_SECONDS), paper)
    sizes = report.plan.sizes
    faster = {f"{r.slow} / {r.fast}": [_figure(r.by_size.get(n)) for n in sizes] for r in ratios(report)}
    if faster:
        yield _table("Times faster, by medians of this run", sizes, faster)


def _case(report: Report, case: Case) -> str:
    """Return the tables of times and memory of a case, and what could not be measured."""
    sizes = report.plan.sizes
    results = {(m.stage, m.size): m for m in report.measurements.values() if m.case == case}
    times, memory, missing = {}, {}, dict[str, list[str]]()
    for stage in dict.fromkeys(stage for stage, _ in results):
        row = [results.get((stage, size)) for size in sizes]
        name = f"{stage} (float32)" if stage in IN_FLOAT32 else stage
        times[name] = [_figure(1000 * median(m.seconds) if m and m.seconds else None) for m in row]
        if stage in WITH_MEMORY:
            memory[stage] = [f"{m.memory.bytes / 2**20:.0f}" if m and m.memory else "-" for m in row]
    text = _table(f"{report.label(case, full=True)}: median ms", sizes, times)
    if memory:
        text += "\n\n" + _table("Peak memory above the start in MiB", sizes, memory)
    for m in results.values():
        if m.reason:
            missing.setdefault(m.reason, []).append(f"{m.stage} at {m.size}")
    return "\n".join([text, *(f"not measured: {', '.join(which)}: {why}" for why, which in missing.items())])


def _table(title: str, sizes: Sequence[int], rows: dict[str, list[str]]) -> str:
    """Return aligned text with a column for every size."""
    first = max(map(len, rows))
    width = max([9, *(len(cell) + 2 for cells in rows.values() for cell in cells)])
    lines = {"": [str(size) for size in sizes]} | rows
    body = (name.ljust(first) + "".join(cell.rjust(width) for cell in cells) for name, cells in lines.items())
    return "\n".join([title, *body])


def _figure(value: float | None) -> str:
    """Return three significant digits, without an exponent, or - for None."""
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:#.3g}"
