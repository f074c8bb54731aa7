"""The long table of an evaluation, a row for each subject and method, and statistics of its rows."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, median
from typing import Any

import torch

import texsynth
from texsynth import images
from texsynth.config import presets
from texsynth.config.settings import RunSettings
from texsynth.device import cpu_name, gpu_name
from texsynth.evaluation.methods import Method
from texsynth.images.files import as_text

SECONDS = "seconds"


@dataclass(frozen=True)
class Thumbnail:
    """A PNG or JPEG of width x height pixels for the page, of a picture of `size`, and its caption."""

    data: bytes
    width: int
    height: int
    size: tuple[int, int]
    kind: str
    label: str = ""

    @classmethod
    def of(cls, picture: images.Picture, side: int | None = None, label: str = "") -> Thumbnail:
        """Encode `picture` without loss, or as JPEG with a longer side of at most `side` pixels."""
        size = picture.width, picture.height
        if side is None:
            return cls(images.encode(picture, "PNG")[0], *size, size, "png", label)
        return cls(*images.jpeg_thumbnail(picture, min(1.0, side / max(size))), size, "jpeg", label)


@dataclass
class Subject:
    """A picture, or a pair of pictures, that every method is tried on.

    facts: more about it for the JSON table. originals: what methods start from. error: why none was tried.
    """

    name: str
    facts: dict[str, Any] = field(default_factory=dict)
    originals: list[Thumbnail] = field(default_factory=list)
    error: str = ""
    exit_code: int = 0

    @property
    def problem(self) -> str:
        """The reason why no method was tried on it."""
        return self.error or "interrupted"


@dataclass(frozen=True)
class Row:
    """One row of the table: the measures of what a method made of a subject, or its error.

    measures: by name, None where a measure does not apply; empty after an error. A dot in a name nests it
    in the JSON table. seconds: None for what no method made.
    """

    subject: Subject
    method: str
    measures: Mapping[str, float | None] = field(default_factory=dict)
    seconds: float | None = None
    picture: Thumbnail | None = None
    error: str = ""
    exit_code: int = 0

    def value(self, name: str) -> float | None:
        """The measure `name`, or the seconds."""
        return self.seconds if name == SECONDS else self.measures.get(name)


@dataclass(frozen=True)
class Table:
    """A table of the page. head: names of all columns but the method's. rows: method and values."""

    name: str
    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Value]]]


@dataclass(frozen=True)
class Difference:
    """A figure of a method minus another; better: share of the common subjects where it is better."""

    method: str
    measure: str
    estimate: Estimate
    better: float


@dataclass(frozen=True)
class Comparison:
    """Differences to an earlier table, made by texsynth of this version.

    matched, only_here, only_there: numbers of results in both tables, and in one of them alone.
    """

    path: str
    texsynth: str
    differences: tuple[Difference, ...]
    matched: int
    only_here: int
    only_there: int

    def __str__(self) -> str:
        """The counts as a sentence."""
        return (
            f"{self.matched} results are in both tables; {self.only_here} here and {self.only_there} in the "
            f"earlier one have no partner of the same content, style and method"
        )

    def table(self) -> Table:
        """The differences as a table of the page."""
        return difference_table("differences", self.differences)


def difference_table(name: str, differences: Iterable[Difference]) -> Table:
    """Differences as a table of the page."""
    rows = [
        (d.method, (d.measure, e.count, e.mean, e.low, e.high, d.better))
        for d in differences
        for e in [d.estimate]
    ]
    return Table(name, ["figure", "pairs", "change", "low", "high", "better"], rows)


@dataclass
class Evaluation:
    """The long table of one evaluation, with all that its files say besides.

    command: as it is typed after the program's name. word: what a subject is called; its plural ends with s.
    measures: names of the plain measures, which are columns. run: with every `auto` resolved. settings: for
    the JSON table. networks: facts about that of a method. pooled: figures of all results of a method,
    named as in Row. tables: of the page, the first one of the screen too.
    """

    command: str
    word: str
    measures: Sequence[str]
    methods: Sequence[Method]
    run: RunSettings
    settings: Mapping[str, object]
    networks: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    subjects: list[Subject] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    interrupted: bool = False
    pooled: dict[str, dict[str, float | None]] = field(default_factory=dict)
    comparison: Comparison | None = None
    tables: list[Table] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Names of everything in the table, what nobody made first."""
        compared = [method.name for method in self.methods]
        given = [row.method for row in self.rows if row.method not in compared]
        return list(dict.fromkeys([*given, *compared]))

    def good_rows(self, method: str) -> list[Row]:
        """The rows of `method` without an error."""
        return [row for row in self.rows if row.method == method and not row.error]

    @property
    def columns(self) -> list[str]:
        """Names of all figures of a row: the plain ones, then those that are nested, whoever has any."""
        parts = dict.fromkeys(name for row in self.rows for name in row.measures if "." in name)
        return [*self.measures, SECONDS, *parts]

    def by_subject(self) -> list[tuple[Subject, list[Row]]]:
        """Every subject with its rows."""
        rows: dict[int, list[Row]] = {id(subject): [] for subject in self.subjects}
        for row in self.rows:
            rows[id(row.subject)].append(row)
        return [(subject, rows[id(subject)]) for subject in self.subjects]

    def estimates(self, method: str) -> dict[str, Estimate | None]:
        """Statistics of every column, over the rows of `method`."""
        rows = self.good_rows(method)
        return {name: Estimate.of(present(rows, name), self.run.seed) for name in self.columns}

    def counts(self, method: str) -> dict[str, int]:
        """Numbers of results of `method`."""
        done = len(self.good_rows(method))
        return {"done": done, "failed": sum(row.method == method for row in self.rows) - done}

    def table(self, name: str, columns: Mapping[str, str], statistic: str) -> Table:
        """A table of all methods: counts, pooled figures, and mean, median or estimate of the others.

        columns: headings by the name of the figure.
        """
        rows = []
        for method in self.names:
            cells: dict[str, Value] = {**self.counts(method), **self.pooled.get(method, {})}
            for column, estimate in self.estimates(method).items():
                whole = estimate is None or statistic == "estimate"
                cells[column] = estimate if whole else getattr(estimate, statistic)
            rows.append((method, [cells.get(column) for column in columns]))
        return Table(name, list(columns.values()), rows)

    def summaries(self) -> list[dict[str, object]]:
        """Statistics of every method as JSON holds them."""
        return [self._summary(name) for name in self.names]

    def _summary(self, method: str) -> dict[str, object]:
        estimates = self.estimates(method)
        whole = {name: e for name, e in estimates.items() if "." not in name}
        return {
            "method": method,
            **self.counts(method),
            "medians": {name: e and e.median for name, e in whole.items()},
            "estimates": {name: e and asdict(e) for name, e in whole.items()},
            **nested({name: e and e.mean for name, e in estimates.items() if "." in name}),
            **nested(self.pooled.get(method, {})),
        }


def present(rows: Iterable[Row], name: str) -> list[float]:
    """The figures called `name` of the rows that have it."""
    return [value for row in rows if (value := row.value(name)) is not None]


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        inside = tree
        for key in path:
            inside = inside.setdefault(key, {})
        inside[last] = value
    return tree


def json_table(evaluation: Evaluation) -> str:
    """The evaluation as JSON, by subject; unknown and infinite figures are null."""
    run = evaluation.run
    facts = {
        "command": evaluation.command,
        "versions": {
            "texsynth": texsynth.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "machine": {
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "cpu": cpu_name(),
            "gpu": gpu_name(run.device),
            "device": run.device,
            "dtype": run.dtype,
            "threads": run.threads,
        },
        "seed": run.seed,
        **evaluation.settings,
        "interrupted": evaluation.interrupted,
        "methods": {
            method.name: {
                "description": method.description,
                "settings": method.settings and presets.as_tree(method.settings),
                **evaluation.networks.get(method.name, {}),
            }
            for method in evaluation.methods
        },
        "summary": evaluation.summaries(),
        **({"baseline": asdict(evaluation.comparison)} if evaluation.comparison else {}),
        f"{evaluation.word}s": [_subject(*each) for each in evaluation.by_subject()],
    }
    return json.dumps(json_values(facts), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def csv_table(evaluation: Evaluation) -> str:
    """The rows as CSV with a header; what is unknown is empty, what has no limit is inf."""
    columns, text = evaluation.columns, io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([evaluation.word, "method", *columns, "error"])
    for subject, rows in evaluation.by_subject():
        for row in rows or [Row(subject, "", error=subject.problem)]:
            names = as_text(subject.name), as_text(row.method)
            writer.writerow([*names, *map(row.value, columns), as_text(row.error)])
    return text.getvalue()


def json_values(value: Any) -> Any:  # noqa: ANN401 (JSON of any kind)
    """`value` as JSON can hold it: names of files, methods too, need not be text, figures not be finite."""
    if isinstance(value, dict):
        return {json_values(key): json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(item) for item in value]
    if isinstance(value, str):
        return as_text(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _subject(subject: Subject, rows: Iterable[Row]) -> dict[str, object]:
    results = [
        {
            "method": row.method,
            "size": row.picture and row.picture.size,
            "seconds": row.seconds,
            "error": row.error or None,
            "measures": None if row.error else nested(row.measures),
        }
        for row in rows
    ]
    return {"name": subject.name, **subject.facts, "error": subject.error or None, "results": results}


RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval, None where there is one value only; and the median."""

    count: int
    mean: float
    low: float | None
    high: float | None
    median: float

    @classmethod
    def of(cls, values: Sequence[float], seed: int) -> Estimate | None:
        """None without values. seed: of the bootstrap."""
        if not values:
            return None
        low, high = (None, None) if len(values) < 2 else bootstrap(values, seed)
        return cls(len(values), fmean(values), low, high, median(values))


Value = str | float | Estimate | None  # A cell of a table; None is unknown


def bootstrap(values: Sequence[float], seed: int, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The 95% percentile interval of the mean of `values`, at least one (Efron 1979).

    Values are drawn with replacement `resamples` times, the same ones whenever seed and number agree. It
    takes the values as independent, which pairs that share a picture are not, so it is rather too narrow.
    """
    rng = torch.Generator().manual_seed(seed)
    picked = torch.randint(len(values), (resamples, len(values)), generator=rng)
    means = torch.tensor(values, dtype=torch.float64)[picked].mean(1)
    tail = (1 - CONFIDENCE) / 2
    low, high = means.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high
