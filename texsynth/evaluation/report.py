"""The page of an evaluation: one HTML file with every picture inside, that loads nothing from elsewhere."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from html import escape
from string import Template
from typing import Any

import torch

import texsynth
from texsynth.device import cpu_name, gpu_name
from texsynth.evaluation.results import (
    Cell,
    Evaluation,
    Layout,
    Marked,
    Original,
    Shown,
    Spread,
    Subject,
    Table,
    Value,
)
from texsynth.html.page import asset, closing, data_uri, markup, opening
from texsynth.images.files import as_text

KIND = "evaluation"

SECONDS = "seconds"


def page(evaluation: Evaluation[Any]) -> str:
    """The whole page as text."""
    layout, subjects = evaluation.layout(), evaluation.subjects
    columns = [*layout.columns, SECONDS]
    body = Template(asset("evaluation.html")).substitute(
        title=markup(f"texsynth {evaluation.command}"),
        word=evaluation.word,
        words=f"{evaluation.word}s",
        capital=f"{evaluation.word}s".capitalize(),
        facts="\n".join(f"<li>{markup(fact)}</li>" for fact in _facts(evaluation, layout)),
        tables="\n".join(_table(table, layout.hints) for table in layout.tables),
        results_head=_head([evaluation.word, "method", *columns], layout.hints),
        results_rows="\n".join(
            _result_row(number, subject, cell, layout.columns)
            for number, subject in enumerate(subjects)
            for cell in subject.cells or [Cell("", error=_reason(subject))]
        ),
        methods="\n".join(map(_method_box, evaluation.methods)),
        sections="\n".join(_section(n, subject, layout) for n, subject in enumerate(subjects)),
    )
    return opening(KIND, f"texsynth {evaluation.command}") + body + closing(KIND)


def _facts(evaluation: Evaluation[Any], layout: Layout) -> Iterable[str]:
    run = evaluation.run
    machine = f"{run.device}, {run.dtype}, threads: {run.threads}, {gpu_name(run.device) or cpu_name()}"
    yield from layout.facts
    yield f"seed {run.seed}, {machine}"
    yield f"texsynth {texsynth.__version__}, torch {torch.__version__}"
    if evaluation.interrupted:
        yield "interrupted: not everything was compared"
    for candidate in evaluation.candidates:
        yield f"{candidate.name}: {candidate.description}"


def _table(table: Table, hints: Mapping[str, str]) -> str:
    rows = "\n".join(
        _row(method, _name_cell(method) + "".join(map(_value, values))) for method, values in table.rows
    )
    head = _head(["method", *table.head], hints) if table.rows else ""
    return Template(asset("evaluation_table.html")).substitute(
        name=table.name,
        title=markup(table.title),
        note=f"<p>{markup(table.note)}</p>" if table.note else "",
        head=head,
        rows=rows,
    )


def _head(names: Iterable[str], hints: Mapping[str, str]) -> str:
    cells = (
        f'<th scope="col" title="{escape(hints.get(name, name))}"><button type="button">'
        f"{escape(name.replace('_', ' '))}</button></th>"
        for name in names
    )
    return f"<tr>{''.join(cells)}</tr>"


def _value(value: Value) -> str:
    if isinstance(value, str):
        return f"<td>{markup(value)}</td>"
    if isinstance(value, Marked):
        return _marked(value)
    if isinstance(value, Spread):
        return _spread(value)
    return _figure(value)


def _marked(marked: Marked) -> str:
    if marked.passed is None:
        return _figure(marked.value)
    mark, kind = ("✓", "pass") if marked.passed else ("✗", "fail")
    word = "met" if marked.passed else "missed"
    return (
        f'<td class="{kind}" data-value="{marked.value}" title="bar: {marked.limit}">'
        f"{number(marked.value)} "
        f'<span role="img" aria-label="bar {word}: {marked.limit}">{mark}</span></td>'
    )


def _spread(spread: Spread) -> str:
    if spread.low is None or spread.high is None:
        return _figure(spread.value)
    interval = f"<small>{number(spread.low)} to {number(spread.high)}</small>"
    return f'<td data-value="{spread.value}">{number(spread.value)} <br>{interval}</td>'


def _result_row(number: int, subject: Subject[Any], cell: Cell[Any], columns: Iterable[str]) -> str:
    link = f'<th scope="row"><a href="#e{number}">{markup(subject.name)}</a></th>'
    link += f"<td>{markup(cell.method)}</td>"
    if cell.scores is None:
        span = len(list(columns)) + 1
        figures = f'<td colspan="{span}" class="fail">failed: {markup(cell.error)}</td>'
    else:
        figures = "".join(_figure(getattr(cell.scores, name)) for name in columns) + _figure(cell.seconds)
    return _row(cell.method, link + figures, f"{subject.name} {cell.method}")


def _row(method: str, cells: str, text: str = "") -> str:
    return f'<tr data-method="{markup(method)}" data-text="{markup(text.lower())}">{cells}</tr>'


def _name_cell(name: str) -> str:
    return f'<th scope="row">{markup(name)}</th>'


def _figure(value: float | None) -> str:
    if value is None:
        return "<td>–</td>"
    return f'<td data-value="{value}">{number(value)}</td>'


def number(value: float | None) -> str:
    """Three digits that count, all of a whole number."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "none"
    return str(value) if isinstance(value, int) else f"{value:.3g}"


def _method_box(name: str) -> str:
    return f'<label><input type="checkbox" checked value="{markup(name)}"> {markup(name)}</label>'


def _section(number: int, subject: Subject[Any], layout: Layout) -> str:
    name = markup(subject.name)
    title = f'<h3 id="h{number}">{name}</h3>'
    text = markup(subject.name.lower())
    head = f'<section id="e{number}" data-text="{text}" aria-labelledby="h{number}">{title}'
    originals = subject.originals()
    if not originals:
        return f'{head}<p class="fail">not used: {markup(_reason(subject))}</p></section>'
    pictures = [_original(subject, original) for original in originals]
    pictures += [_picture(subject, cell, layout.columns) for cell in subject.cells]
    row = "\n".join(pictures)
    group = f'<div class="row" tabindex="0" role="group" aria-label="pictures of {name}">{row}</div>'
    return f"{head}{group}</section>"


def _reason(subject: Subject[Any]) -> str:
    return subject.error or "interrupted"


def _original(subject: Subject[Any], original: Original) -> str:
    image = _image(original.shown, f"{subject.name}, {original.label}")
    lines = "".join(f"<br>{markup(line)}" for line in (_size(original.shown), *original.notes))
    return f"<figure>{image}<figcaption><b>{markup(original.label)}</b>{lines}</figcaption></figure>"


def _picture(subject: Subject[Any], cell: Cell[Any], columns: Iterable[str]) -> str:
    method = markup(cell.method)
    if cell.shown is None or cell.scores is None:
        body = f'<p class="fail">failed: {markup(cell.error)}</p><figcaption><b>{method}</b></figcaption>'
        return f'<figure data-method="{method}">{body}</figure>'
    shown = [(name, getattr(cell.scores, name)) for name in columns]
    figures = "".join(
        f"<dt>{name.replace('_', ' ')}</dt><dd>{number(value)}</dd>"
        for name, value in shown
        if value is not None
    )
    size = _size(cell.shown)
    time = size if cell.seconds is None else f"{size}, {number(cell.seconds)} s"
    image = _image(cell.shown, f"{subject.name}, {cell.method}")
    caption = f"<figcaption><b>{method}</b><br>{time}<dl>{figures}</dl></figcaption>"
    return f'<figure data-method="{method}">{image}{caption}</figure>'


def _size(shown: Shown) -> str:
    return f"{shown.size[0]} x {shown.size[1]} px"


def _image(shown: Shown, alt: str) -> str:
    return (
        f'<img alt="{markup(alt)}" width="{shown.width}" height="{shown.height}" decoding="async" '
        f'src="{data_uri(shown.kind, shown.data)}">'
    )


def table(evaluation: Evaluation[Any]) -> str:
    """The whole table as text; what is unknown or infinite is null."""
    run = evaluation.run
    chosen = {"device": run.device, "dtype": run.dtype, "threads": run.threads}
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
            **chosen,
        },
        "seed": run.seed,
        **evaluation.asked(),
        "interrupted": evaluation.interrupted,
        "methods": {c.name: evaluation.described(c) for c in evaluation.candidates},
        "summary": list(evaluation.summary()),
        **evaluation.found(),
        f"{evaluation.word}s": [_subject(subject) for subject in evaluation.subjects],
    }
    return json.dumps(_writable(facts), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _subject(subject: Subject[Any]) -> dict[str, object]:
    return {
        "name": subject.name,
        **subject.facts(),
        "error": subject.error or None,
        "results": [_cell(cell) for cell in subject.cells],
    }


def _cell(cell: Cell[Any]) -> dict[str, object]:
    return {
        "method": cell.method,
        "size": cell.shown and list(cell.shown.size),
        "seconds": cell.seconds,
        "error": cell.error or None,
        "measures": cell.scores and asdict(cell.scores),
    }


def _writable(value: Any) -> Any:  # noqa: ANN401 (JSON of any kind)
    # Names of files, methods too, need not be text.
    if isinstance(value, dict):
        return {_writable(key): _writable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    if isinstance(value, str):
        return as_text(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
