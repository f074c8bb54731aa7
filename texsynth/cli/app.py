"""Errors become one sentence on standard error and an exit code."""

import logging
import os
import sys
import warnings
from functools import cache
from importlib import import_module
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import typer

from texsynth.cli.help import PlainCommand, PlainGroup, epilog
from texsynth.cli.printing import prepare_streams
from texsynth.cli.show import (
    ARGUMENTS,
    NOT_READ,
    VERBOSE,
    discard_stream,
    print_error,
    print_traceback,
    reason,
)
from texsynth.errors import (
    InputError,
    MemoryExhaustedError,
    TexsynthError,
    as_expected,
    check_room,
    is_exhaustion,
)
from texsynth.interrupts import INTERRUPTED

BUG, USAGE = 1, 2

ROOM_BYTES = 100 << 20  # For the libraries that every command loads
LIBRARY_BYTES = {"numpy": (50 << 20, 42 << 20), "torch": (540 << 20, 16 << 20)}
"""Bytes of a library, and of each of its threads; without room they end the process, or interrupt it.

Measured: numpy 85 MiB and 40 for every thread but the first, torch 2.13 for the CPU 500.
"""

COMMANDS = {
    "expand": "expand",
    "tile": "expand",
    "tileset": "tileset",
    "maps": "maps",
    "stylize": "stylize",
    "blend": "blend",
    "batch": "batch",
    "match": "match",
    "describe": "match",
    "replay": "replay",
    "serve": "serve",
    "doctor": "doctor",
    "bench": "bench",
    "card": "card",
    "presets": "presets",
    "models": "models",
    "train": "train",
    "evaluate": "evaluate",
    "blender": "blender",
    "docs": "docs",
}
"""Modules of the commands, in the order of the help: each has a function of that name, or a group `app`."""


class RoomForLibraries(MetaPathFinder):
    """Raises MemoryError where a library is to be loaded and the limit of this process leaves no room."""

    def find_spec(self, name: str, *_: object) -> None:
        """Find nothing; others do."""
        if name in LIBRARY_BYTES:
            names = {name, "numpy"} - sys.modules.keys()  # torch loads numpy
            sizes = [LIBRARY_BYTES[one] for one in names]
            check_room(sum(fixed + usual_threads() * each for fixed, each in sizes))


def usual_threads() -> int:
    """Return the number of threads that libraries start where they are not told."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() else os.cpu_count() or 1


class App(PlainGroup):
    """A command group whose expected errors never show a traceback."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 (typer's signature)
        """List all commands; none of their modules is needed for that."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 (typer's signature)
        """Import the module of a command; of all of them for a name that is none, to suggest another."""
        names = [cmd_name] if cmd_name in COMMANDS else COMMANDS
        self.commands.update({name: _load_command(name) for name in names})
        return super().get_command(ctx, cmd_name)

    def main(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401 (typer's signature)
        """Parse, run, and leave with the exit code."""
        standalone = extra.get("standalone_mode", True)
        extra["standalone_mode"] = False
        _replace_closed_streams()
        prepare_streams()
        # What libraries log about damaged files is reported in one sentence instead.
        logging.basicConfig(handlers=[logging.NullHandler()])
        sys.meta_path.insert(0, room := RoomForLibraries())
        try:
            code = super().main(*args, **extra)
        except typer.TyperException as error:
            code = _usage(error)
        except SystemExit:  # of Typer and Rich, for a pipe that nobody reads
            code = NOT_READ
        except (KeyboardInterrupt, typer.Abort):
            print_error("interrupted")
            code = INTERRUPTED
        except (MemoryError, ImportError, OSError) as error:
            if not is_exhaustion(error):
                raise
            print_error(str(_expected(error)))
            code = MemoryExhaustedError.exit_code
        finally:
            sys.meta_path.remove(room)
        try:
            sys.stdout.flush()
        except OSError:  # the reader of a pipe has gone, or the disk is full
            discard_stream(sys.stdout)
        if standalone:
            sys.exit(code or 0)
        return code

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (typer's signature)
        """Keep what was typed for those who want to show it."""
        ARGUMENTS.set(tuple(args))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 (typer's signature)
        """Run the chosen command."""
        try:
            with warnings.catch_warnings():
                # Libraries warn about our input in words meant for programmers; what matters is reported.
                warnings.simplefilter("ignore")
                return super().invoke(ctx)
        except KeyboardInterrupt:
            print_error("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except (typer.TyperException, typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as raised:
            error = _expected(raised)
            print_error(reason(error))
            if isinstance(error, TexsynthError):
                raise typer.Exit(error.exit_code) from raised
            if ctx.meta.get(VERBOSE):
                print_traceback(error)
            else:
                print_error("run again with -v for the details", prefix="")
            raise typer.Exit(BUG) from raised


@cache
def _load_command(name: str) -> Any:  # noqa: ANN401 (a command or a group of typer's)
    from texsynth.cli.options import grouped

    check_room(ROOM_BYTES)
    module = import_module(f"texsynth.cli.{COMMANDS[name]}")
    alone = typer.Typer(rich_markup_mode="rich", add_completion=False)
    if isinstance(group := getattr(module, "app", None), typer.Typer):
        for command in group.registered_commands:
            assert command.callback
            command.callback, command.cls = grouped(command.callback), PlainCommand
        alone.add_typer(group, name=name, cls=PlainGroup, epilog=epilog(name))
        # Without it, Typer would make the only group the program itself.
        alone.callback()(lambda: None)
        return typer.main.get_group(alone).commands[name]
    alone.command(name, cls=PlainCommand, epilog=epilog(name))(grouped(getattr(module, name)))
    return typer.main.get_command(alone)


def _expected(error: Exception) -> Exception:
    """Return the error of ours for memory that runs out, or a current folder that is gone."""
    if isinstance(error, FileNotFoundError) and error.filename is None and _is_nowhere():
        return InputError("the folder that texsynth was started in is gone; change to another one")
    return as_expected(error)


def _is_nowhere() -> bool:
    """Tell whether the current folder has been removed."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    message = getattr(error, "format_message", lambda: str(error))()
    if type(error).__name__ == "NoArgsIsHelpError":
        return USAGE
    print_error(message[:1].lower() + message[1:].rstrip("."))
    if context is not None:
        print_error(f"try `{context.command_path} --help`", prefix="")
    return USAGE


def _replace_closed_streams() -> None:
    """Open nothing in place of streams that a shell or a scheduler has closed."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open("r" if name == "stdin" else "w")  # noqa: SIM115 (for good)
            setattr(sys, name, nowhere)
