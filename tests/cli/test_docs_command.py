"""texsynth docs: the pages in the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.cli import run_cli, run_program

from texsynth.cli.docs import folder, topics

ROOT = Path(__file__).parents[2]


def test_all_pages_are_listed() -> None:
    lines = run_cli("docs").stdout.splitlines()
    assert [line.split()[0] for line in lines] == topics()
    assert len(lines) >= 16
    assert all(len(line.split(maxsplit=1)[1]) > 15 for line in lines), "each has a title"


def test_a_page_is_plain_text_in_a_pipe(tmp_path: Path) -> None:
    done = run_program("docs", "expand", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (folder() / "expand.md").read_bytes()


def test_where_a_page_lies() -> None:
    assert run_cli("docs", "presets", "--path").stdout == f"{folder() / 'presets.md'}\n"
    assert run_cli("docs", "--path").stdout == f"{folder()}\n"


@pytest.mark.parametrize("arguments", [["exapnd"], ["exapnd", "--path"], ["../expand"]])
def test_an_unknown_page(arguments: list[str]) -> None:
    result = run_cli("docs", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"texsynth: unknown topic {arguments[0]!r}; did you mean 'expand'?\n"


def test_torch_is_not_imported(tmp_path: Path) -> None:
    code = "import sys; from texsynth.__main__ import main; sys.argv = ['texsynth', 'docs', 'faq']\n"
    code += "try: main()\nfinally: assert 'torch' not in sys.modules"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_a_terminal_gets_the_rendered_page(tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PAGER": "cat", "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-m", "texsynth", "docs", "exit-codes"]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 65536):
                shown += block
        except OSError:  # the other end has gone
            pass
    os.close(ours)
    assert process.returncode == 0, shown
    text = shown.decode()
    assert "MemoryExhaustedError" in text
    assert "| code | meaning |" not in text, "tables are drawn"
    assert "\x1b[" in text, "with colours"
