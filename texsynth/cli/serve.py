"""texsynth serve."""

import os
import re
import sys
import webbrowser
from dataclasses import dataclass
from importlib.util import find_spec

import typer

from texsynth.cli import options
from texsynth.cli.options import option
from texsynth.cli.run import run_settings
from texsynth.cli.show import Screen, print_error, print_traceback, reason
from texsynth.errors import ModelError, UsageError
from texsynth.interrupts import leave

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:]+")

LONGEST_NAME = 253  # Letters of the name of a machine

PACKAGES = ("starlette", "uvicorn", "python_multipart")


@dataclass(frozen=True)
class AddressOptions:
    """Where the server listens, and who may ask."""

    port: int = option(8765, min=0, max=65535, help="Port; 0 takes one that is free. Default: 8765.")
    host: str = option("127.0.0.1", help="Address to listen at. Default: 127.0.0.1, this machine alone.")
    allow_host: list[str] | None = option(
        None, metavar="NAME", help="Another name by which browsers reach this machine. Repeatable."
    )
    token: str | None = option(None, help="Secret of the address. Default: a new one at every start.")
    browse: bool = option(
        True, "--open/--no-open", help="Open the page in the browser. Default: where one is at hand."
    )


@dataclass(frozen=True)
class LimitOptions:
    """How much the server takes."""

    max_upload: int = option(
        256, min=1, max=1 << 14, metavar="MB", help="Largest picture, in MiB. Default: 256."
    )
    queue: int = option(16, min=1, max=1000, help="Jobs that may wait. Default: 16.")


@dataclass(frozen=True)
class ServerMachineOptions(options.DeviceOptions):
    """The network and what computes it."""

    model: options.Model = None
    dtype: options.Dtype = None
    memory_limit: str | None = options.machine_option(
        None,
        metavar="SIZE|N%",
        help="Work in tiles when more memory would be needed, like 4GiB or 80%. Default: half of the free.",
    )


def serve(
    *,
    address: AddressOptions,
    limits: LimitOptions,
    machine: ServerMachineOptions,
    quiet: options.Quiet = False,
) -> None:
    """Open a page in the browser to try looks by eye; scripts may use it, too."""
    run = run_settings(machine)
    check_packages()
    check_network(run.model)
    from texsynth.serve.server import Place
    from texsynth.serve.server import serve as run_server
    from texsynth.serve.state import Limits

    screen = Screen(quiet)
    place = Place(address.host, address.port, check_hosts(address.allow_host), check_token(address.token))
    if not place.is_local:
        screen.note(
            f"others on the network can reach {address.host}; give the address with its token to nobody "
            f"else, and name this machine with --allow-host"
        )

    def report(error: Exception) -> None:
        print_error(reason(error))
        print_traceback(error)

    def opened(url: str) -> None:
        screen.result(url)
        if address.browse:
            browse(url)

    run_server(
        place, run, Limits(limits.max_upload << 20, limits.queue), opened=opened, report=report, second=leave
    )
    raise typer.Exit


def check_network(name: str) -> None:
    """Raise ModelError for a file that is no model of features, before the server starts."""
    from texsynth.models.hub.catalog import locate
    from texsynth.models.weights import facts_of

    if facts_of(locate(name)).transposer:
        raise ModelError(f"{name} is a Transposer, not a model of features; give another as --model")


def check_hosts(names: list[str] | None) -> tuple[str, ...]:
    """Return further names of this machine. Raises UsageError for what is none."""
    for name in names or ():
        if len(name) > LONGEST_NAME or not HOST.fullmatch(name):
            raise UsageError(
                f"--allow-host {name!r} is no name of a machine; give one without port, like studio.local"
            )
    return tuple(names or ())


def check_token(token: str | None) -> str | None:
    """Return a token that an address can hold. Raises UsageError."""
    if token is None:
        return None
    if len(token) < 8 or not token.isascii() or not token.replace("-", "").replace("_", "").isalnum():
        raise UsageError("--token must be at least 8 letters, digits, - and _, which an address can hold")
    return token


def check_packages() -> None:
    """Raise UsageError where the packages of the server are missing."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise UsageError(f"serve needs {', '.join(missing)}; install with: pip install 'texsynth[serve]'")


def browse(url: str) -> None:
    """Open an address in the browser, where there is one."""
    seen = (
        sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if seen:
        webbrowser.open(url)
