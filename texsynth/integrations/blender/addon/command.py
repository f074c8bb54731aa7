"""The `texsynth` command as a process: where it is, how far it is, and how it is ended."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

NAME = "texsynth"

PREFIX = "texsynth: "  # Before remarks and errors

GRACE = 5.0  # Seconds that the command has for an orderly end, and for its last words

KEPT = 1000  # Lines of a command, the last ones

LONGEST = 65536  # Letters of a line

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
        if self.left is None:
            rest = ""
        else:
            rest = f", {self.left:.0f} s left" if self.left < 100 else f", {self.left / 60:.0f} min left"
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
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def sentence(lines: Iterable[str], code: int) -> str:
    """Return the error that the command ended with. lines: its standard error. code: its exit code."""
    said = [line for line in lines if line.strip()]
    errors = [line.removeprefix(PREFIX) for line in said if line.startswith(PREFIX)]
    text = (errors or said or [f"{NAME} ended with code {code}"])[-1]
    if text.startswith(("no such option", "no such command")):
        return f"the command is older than this add-on, update it: {text}"
    return text


class Run:
    """A command at work. Nothing here waits for it.

    It and its children are a group of processes, as the command may be a script that starts another program.
    """

    def __init__(self, arguments: Sequence[str], folder: Path | None = None) -> None:
        """Start it in `folder`, whose files it calls by their names alone. Raises CommandError."""
        # The variable belongs to Blender's own Python.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"}
        environment |= {"PYTHONUTF8": "1", "NO_COLOR": "1"}
        try:
            self._process = subprocess.Popen(
                arguments, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, encoding="utf-8", errors="replace", creationflags=NO_WINDOW,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise CommandError(f"{arguments[0]} cannot be started: {error.strerror or error}") from error
        self.progress = Progress()
        self.output, self.messages = deque[str](maxlen=KEPT), deque[str](maxlen=KEPT)
        # When it is killed, and when it is listened to no longer, in seconds of a clock
        self._killed_at, self._deaf_at = math.inf, math.inf
        self._inside = f"{folder or os.curdir}{os.sep}"
        pipes = ((self._process.stdout, self.output), (self._process.stderr, self.messages))
        self._readers = [threading.Thread(target=self._read, args=pipe, daemon=True) for pipe in pipes]
        for reader in self._readers:
            reader.start()

    def poll(self) -> bool:
        """Return whether the command is still at work."""
        now = time.monotonic()
        if now > self._killed_at:
            self._send("SIGKILL")
        if self._process.poll() is None:
            return True
        # Its last words may be on their way; but children that it has left may hold its pipes open for ever.
        self._deaf_at = min(self._deaf_at, now + GRACE)
        return self.is_heard and now < self._deaf_at

    def stop(self) -> None:
        """Ask the command to end, which removes its temporary files then; it is killed when it does not."""
        if not self.is_stopped:
            self._killed_at = time.monotonic() + GRACE
            self._send("SIGTERM")

    def close(self) -> None:
        """Kill the command where it is still at work, and what it has left; listen no longer."""
        if self._process.poll() is None or self.is_heard:
            self._send("SIGKILL")
        self._process.wait()
        self._deaf_at = -math.inf

    @property
    def is_stopped(self) -> bool:
        """True when it was asked to end."""
        return self._killed_at < math.inf

    def check(self) -> None:
        """Raise CommandError with the sentence of a command that has failed."""
        if code := self._process.returncode:
            raise CommandError(sentence(self.messages, code))

    @property
    def notes(self) -> list[str]:
        """Remarks and warnings of a command that is done."""
        return [line.removeprefix(PREFIX) for line in self.messages if line.startswith(PREFIX)]

    @property
    def is_heard(self) -> bool:
        """True while something may still speak through its pipes."""
        return any(reader.is_alive() for reader in self._readers)

    def _send(self, name: str) -> None:
        """Send a signal to the command and its children; Windows has but one, and ends children itself."""
        if not hasattr(os, "killpg"):
            self._process.kill()
            return
        with suppress(ProcessLookupError, PermissionError):  # They have ended meanwhile
            os.killpg(self._process.pid, getattr(signal, name))

    def _read(self, pipe: IO[str], lines: deque[str]) -> None:
        with pipe:
            while line := pipe.readline(LONGEST):
                if progress := parse_progress(line):
                    self.progress = progress
                else:
                    lines.append(line.rstrip("\n").replace(self._inside, ""))
