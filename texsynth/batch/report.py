"""The page of an evaluation: one HTML file with every picture inside, that loads nothing from elsewhere."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable
from html import escape
from string import Template

import torch

import texsynth
from texsynth.batch.evaluation import TRUTH, Cell, Evaluation, Shown, Subject
from texsynth.batch.files import as_text
from texsynth.batch.page import asset, closing, data_uri, opening
from texsynth.batch.scores import MEASURES, Bar, Summary

KIND = "evaluation"

COLUMNS = (*MEASURES, "seconds")

HINTS = {
    "coherence": "distance of its patches to the exemplar's; 0 is best, but copies get 0 too",
    "completeness": "distance of the exemplar's patches to its own; 0 is best",
    "sharpness": "gradient energy over the exemplar's; 1 is best",
    "wasserstein": "sliced Wasserstein distance to the truth; 0 is best, but tiling comes close",
    "spectrum": "difference of power spectra in powers of ten; 0 is best",
    "repetition": "share of 31 x 31 blocks that recur",
    "excess": "the same above the truth's; 0 is best",
    "seam_vertical": "gradient across the left and right border over the inside's; 1 is seamless",
    "seam_horizontal": "gradient across the top and bottom border over the inside's; 1 is seamless",
    "seam_rank": "share of lines inside that are as steep as the border; near 0 a seam stands out",
    "lattice": "displacement of the lattice, relative; at most 0.02 keeps it, none is left without a peak",
    "lattice_height": "correlation at the lattice's peaks over the truth's; 1 keeps the order",
    "regularity": "highest peak of the autocorrelation",
    "imposed": "the same above the truth's, where there should be no lattice",
    "ssim": "structural similarity to the truth, for the record",
    "seconds": "to compute it, without loading the network",
}
"""What each column means and which way is better."""


def page(evaluation: Evaluation) -> str:
    """The whole page as text."""
    summaries = evaluation.summaries()
    body = Template(asset("evaluation.html")).substitute(
        facts=_facts(evaluation),
        summary_head=_head(["method", "done", "failed", *(bar.label for bar in summaries[0].bars), "seconds"])
        if summaries
        else "",
        summary_rows="\n".join(map(_summary_row, summaries)),
        medians_head=_head(["method", *COLUMNS]),
        medians_rows="\n".join(_medians_row(s) for s in summaries),
        results_head=_head(["exemplar", "method", *COLUMNS]),
        results_rows="\n".join(
            _result_row(number, subject, cell)
            for number, subject in enumerate(evaluation.subjects)
            for cell in subject.cells or [Cell("", error=_reason(subject))]
        ),
        methods="\n".join(map(_method_box, evaluation.methods)),
        exemplars="\n".join(_section(n, subject) for n, subject in enumerate(evaluation.subjects)),
    )
    return opening(KIND, "texsynth evaluate expand") + body + closing(KIND)


def _facts(evaluation: Evaluation) -> str:
    plan = evaluation.plan
    run = plan.run
    good = sum(subject.shown is not None for subject in evaluation.subjects)
    crop = f"centre crops of {plan.crop} px" if plan.crop else "whole pictures"
    wanted = plan.size.size
    size = f"{wanted[0]} x {wanted[1]} px" if wanted else f"{_number(plan.size.scale)} times the size"
    machine = f"{run.device}, {run.dtype}, threads: {run.threads}, {platform.machine()}"
    facts = [
        f"{good} exemplars, {crop}, to {size}{', tileable' if plan.size.tileable else ''}",
        f"seed {run.seed}, model {run.model}, {machine}",
        f"texsynth {texsynth.__version__}, torch {torch.__version__}",
    ]
    if evaluation.interrupted:
        facts.append("interrupted: not everything was compared")
    facts += [f"{c.name}: {c.description}" for c in plan.candidates]
    return "\n".join(f"<li>{escape(fact)}</li>" for fact in facts)


def _head(names: Iterable[str]) -> str:
    cells = (
        f'<th scope="col" title="{escape(HINTS.get(name, name))}"><button type="button">'
        f"{escape(name.replace('_', ' '))}</button></th>"
        for name in names
    )
    return f"<tr>{''.join(cells)}</tr>"


def _summary_row(summary: Summary) -> str:
    cells = [_figure(summary.done), _figure(summary.failed), *map(_bar_cell, summary.bars)]
    cells.append(_figure(summary.medians["seconds"]))
    return _row(summary.method, _name_cell(summary.method) + "".join(cells))


def _bar_cell(bar: Bar) -> str:
    if bar.passed is None:
        return _figure(bar.value)
    low = "" if bar.at_least is None else f"at least {_number(bar.at_least)}"
    high = "" if bar.at_most is None else f"at most {_number(bar.at_most)}"
    limit = " and ".join(filter(None, (low, high)))
    mark, kind = ("✓", "pass") if bar.passed else ("✗", "fail")
    word = "met" if bar.passed else "missed"
    return (
        f'<td class="{kind}" data-value="{bar.value}" title="bar: {limit}">{_number(bar.value)} '
        f'<span role="img" aria-label="bar {word}: {limit}">{mark}</span></td>'
    )


def _medians_row(summary: Summary) -> str:
    figures = "".join(_figure(summary.medians[name]) for name in COLUMNS)
    return _row(summary.method, _name_cell(summary.method) + figures)


def _result_row(number: int, subject: Subject, cell: Cell) -> str:
    name = escape(as_text(subject.name))
    link = f'<th scope="row"><a href="#e{number}">{name}</a></th><td>{escape(cell.method)}</td>'
    if cell.scores is None:
        figures = f'<td colspan="{len(COLUMNS)}" class="fail">failed: {escape(cell.error)}</td>'
    else:
        figures = "".join(_figure(getattr(cell.scores, name)) for name in MEASURES) + _figure(cell.seconds)
    return _row(cell.method, link + figures, f"{subject.name} {cell.method}")


def _row(method: str, cells: str, text: str = "") -> str:
    return f'<tr data-method="{escape(method)}" data-text="{escape(as_text(text).lower())}">{cells}</tr>'


def _name_cell(name: str) -> str:
    return f'<th scope="row">{escape(name)}</th>'


def _figure(value: float | None) -> str:
    if value is None:
        return "<td>–</td>"
    return f'<td data-value="{value}">{_number(value)}</td>'


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if math.isinf(value):
        return "none"
    return str(value) if isinstance(value, int) else f"{value:.3g}"


def _method_box(name: str) -> str:
    return f'<label><input type="checkbox" checked value="{escape(name)}"> {escape(name)}</label>'


def _section(number: int, subject: Subject) -> str:
    name = escape(as_text(subject.name))
    title = f'<h3 id="h{number}">{name}</h3>'
    head = f'<section id="e{number}" data-text="{name.lower()}" aria-labelledby="h{number}">{title}'
    if subject.shown is None:
        return f'{head}<p class="fail">not used: {escape(_reason(subject))}</p></section>'
    lattice = "no lattice"
    if subject.lattice:
        vectors = " and ".join(f"({dy:.1f}, {dx:.1f})" for dy, dx in subject.lattice)
        lattice = f"lattice {vectors} px, confidence {subject.confidence:.2f}"
    caption = f"<b>exemplar</b><br>{subject.shown.width} x {subject.shown.height} px<br>{lattice}"
    image = _image(subject.shown, f"{subject.name}, exemplar")
    pictures = [f"<figure>{image}<figcaption>{caption}</figcaption></figure>"]
    pictures += [_picture(subject, cell) for cell in subject.cells]
    row = "\n".join(pictures)
    group = f'<div class="row" tabindex="0" role="group" aria-label="pictures of {name}">{row}</div>'
    return f"{head}{group}</section>"


def _reason(subject: Subject) -> str:
    return subject.error or "interrupted"


def _picture(subject: Subject, cell: Cell) -> str:
    method = escape(cell.method)
    if cell.shown is None or cell.scores is None:
        body = f'<p class="fail">failed: {escape(cell.error)}</p><figcaption><b>{method}</b></figcaption>'
        return f'<figure data-method="{method}">{body}</figure>'
    shown = [(name, getattr(cell.scores, name)) for name in MEASURES]
    figures = "".join(
        f"<dt>{name.replace('_', ' ')}</dt><dd>{_number(value)}</dd>"
        for name, value in shown
        if value is not None
    )
    size = f"{cell.shown.width} x {cell.shown.height} px"
    time = size if cell.method == TRUTH else f"{size}, {_number(cell.seconds)} s"
    image = _image(cell.shown, f"{subject.name}, {cell.method}")
    caption = f"<figcaption><b>{method}</b><br>{time}<dl>{figures}</dl></figcaption>"
    return f'<figure data-method="{method}">{image}{caption}</figure>'


def _image(shown: Shown, alt: str) -> str:
    return (
        f'<img alt="{escape(as_text(alt))}" width="{shown.width}" height="{shown.height}" decoding="async" '
        f'src="{data_uri("png", shown.png)}">'
    )
