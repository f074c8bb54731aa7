"""Paths in records."""

from __future__ import annotations

from pathlib import Path

import pytest

from texsynth.jobs.inputs import Input
from texsynth.jobs.recorded import _relative, recorded_path


@pytest.mark.parametrize(
    ("path", "folder", "seen"),
    [
        ("/a/in/x.png", "/a/out", "../in/x.png"), ("/a/x.png", "/a", "x.png"),
        ("/a/b/x.png", "/a", "b/x.png"),
        ("/usr/x.png", "/home/ann/out", "/usr/x.png"), ("/x.png", "/", "x.png"), ("/x.png", "/a", "/x.png"),
        ("-", "/a", "-"), ("b/x.png", "/a", "b/x.png"),
    ],
)  # fmt: skip
def test_paths_are_relative_below_a_common_folder(path: str, folder: str, seen: str) -> None:
    assert _relative(path, folder) == seen


def test_links_are_followed_to_where_an_input_lies(tmp_path: Path) -> None:
    """`..` leads out of the folder behind a link, not out of that with the link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert recorded_path(Input(tmp_path / "link" / "x.png", "x.png")) == str(tmp_path / "real" / "x.png")
    assert recorded_path(Input(Path("-"), "stdin", piped=b"x")) == "-"
