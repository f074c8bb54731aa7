"""Pages: what gets into them is text, and their heads let nothing be loaded or run but their own script."""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64encode
from html import unescape

import pytest
from jinja2 import UndefinedError

from texsynth.html.page import render
from texsynth.jobs.outcomes import Report

EMPTY = {"totals": {}, "states": (), "blocks": {}, "uses": {}, "report": Report(0)}


def page(heading: str) -> str:
    return "".join(render("run", title="a run", heading=heading, command="", items=(), **EMPTY))


def test_the_one_script_is_the_one_that_may_run() -> None:
    text = page("texsynth")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'; base-uri 'none'; form-action 'none';\n img-src data:; " in text
    assert f"script-src 'sha256-{digest}'\"" in text


@pytest.mark.parametrize("name", ["</h1><script>alert(1)</script>", "\"'&amp;", "{{ 7 * 7 }}"])
def test_values_are_text(name: str) -> None:
    text = page(name)
    (shown,) = re.findall("<h1>(.*?)</h1>", text)
    assert unescape(shown) == name
    assert text.count("<script>") == 1


def test_names_that_are_no_text_can_be_written() -> None:
    assert "<h1>\ufffd.png</h1>" in page(os.fsdecode(b"\xff.png")).encode().decode()


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="heading"):
        list(render("run", title="a run", command="", items=(), **EMPTY))


def test_a_page_grows_as_its_items_come() -> None:
    asked: list[int] = []
    pieces = render("run", title="a run", heading="", command="", items=map(asked.append, [1, 2]), **EMPTY)
    next(pieces)
    assert asked == []
