"""The `texsynth` command as a process: where it is, how far it is, and how it is ended."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

NAME = "texsynth"

PREFIX = "texsynth: "  # Before remarks and errors

GRACE = 5.0  # Seconds that the command has for an orderly end

USUAL = ("~/.local/bin", "/opt/homebrew/bin", "/usr/local/bin")
"""Folders that a program started from a desktop may not have on its PATH."""

NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # On Windows a console would open


class CommandError(Exception):
    """What went wrong, in one sentence."""


@dataclass(frozen=True)
class Progress:
    """How far the command is: a share from 0 to 1, what it does, and the seconds left if they are known."""

    share: float = 0.0
    stage: str = "starting"
    left: float | None = None

    def __str__(self) -> str:
        """Say it in a line."""
        rest = "" if self.left is None else f", {self.left:.0f} s left"
        return f"{100 * self.share:.0f}%{rest}: {self.stage}"


def find_command(place: str = "") -> str:
    """Return the path of the command. Raises CommandError.

    place: the command itself, or the folder of a virtual environment; by default it is searched for.
    """
    if place:
        path = Path(place).expanduser()
        inside = (path / folder / NAME for folder in ("bin", "Scripts", ".")) if path.is_dir() else (path,)
        command = next((which for one in inside if (which := shutil.which(str(one)))), None)
        if command is None:
            raise CommandError(f"there is no command {place}; set it in the preferences of the add-on")
        return command
    folders = [os.environ.get("PATH", ""), *map(os.path.expanduser, USUAL)]
    command = shutil.which(NAME, path=os.pathsep.join(folders))
    if command is None:
        raise CommandError(
            f"no {NAME} command on the PATH; install it, or set its place in the preferences of the add-on"
        )
    return command


def parse_progress(line: str) -> Progress | None:
    """Return what a line of `--json-progress` says, None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        fields = json.loads(line)
        left = fields["left"]
        share = min(max(float(fields["share"]), 0.0), 1.0)
        return Progress(share, str(fields["stage"]), None if left is None else float(left))
    except (ValueError, KeyError, TypeError):
        return None


def sentence(lines: Sequence[str], code: int) -> str:
    """Return the error that the command ended with. lines: its standard error. code: its exit code."""
    errors = [line.removeprefix(PREFIX) for line in lines if line.startswith(PREFIX)]
    rest = [line for line in lines if line.strip()]
    return errors[-1] if errors else rest[-1] if rest else f"{NAME} ended with code {code}"


class Run:
    """A command at work. Nothing here waits for it."""

    def __init__(self, arguments: Sequence[str], folder: Path | None = None) -> None:
        """Start it in `folder`. Raises CommandError."""
        # The variable belongs to Blender's own Python.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"}
        environment |= {"PYTHONUTF8": "1", "NO_COLOR": "1"}
        try:
            self._process = subprocess.Popen(
                arguments, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, encoding="utf-8", errors="replace", creationflags=NO_WINDOW,
            )  # fmt: skip
        except OSError as error:
            raise CommandError(f"{arguments[0]} cannot be started: {error.strerror or error}") from error
        self.progress, self.output, self.messages = Progress(), list[str](), list[str]()
        self._stopped: float | None = None  # When it was asked to end, in seconds of a clock
        self._lines: queue.SimpleQueue[tuple[list[str], str | None]] = queue.SimpleQueue()
        self._open = 2  # Pipes that are not at their end
        for pipe, lines in ((self._process.stdout, self.output), (self._process.stderr, self.messages)):
            threading.Thread(target=self._read, args=(pipe, lines), daemon=True).start()

    def poll(self) -> bool:
        """Take what the command has said meanwhile, and return whether it is still at work."""
        with suppress(queue.Empty):
            while True:
                lines, line = self._lines.get_nowait()
                if line is None:
                    self._open -= 1
                elif progress := parse_progress(line):
                    self.progress = progress
                else:
                    lines.append(line)
        if self._stopped is not None and time.monotonic() - self._stopped > GRACE:
            self._process.kill()
        return self._process.poll() is None or self._open > 0

    def stop(self) -> None:
        """Ask the command to end, which removes its temporary files then; it is killed when it does not."""
        if self._stopped is None:
            self._stopped = time.monotonic()
            self._process.terminate()

    def close(self) -> None:
        """Kill the command where it is still at work, and listen to it no longer."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._open = 0  # Its pipes may be at their end a moment later

    @property
    def is_stopped(self) -> bool:
        """True when it was asked to end."""
        return self._stopped is not None

    def check(self) -> None:
        """Raise CommandError with the sentence of a command that has failed."""
        if code := self._process.returncode:
            raise CommandError(sentence(self.messages, code))

    @property
    def notes(self) -> list[str]:
        """Remarks and warnings of a command that is done."""
        return [line.removeprefix(PREFIX) for line in self.messages if line.startswith(PREFIX)]

    def _read(self, pipe: IO[Any], lines: list[str]) -> None:
        with pipe:
            for line in pipe:
                self._lines.put((lines, line.rstrip("\n")))
        self._lines.put((lines, None))
