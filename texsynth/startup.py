"""What a process of ours does before it loads torch, so that it starts fast and leaves room for others.

A quarter of the time of a process that does no more than load torch goes into looking for garbage where there
is none. Only processes of ours come here: where a program loads torch itself, it is as usual.
"""

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

WAITING = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}
"""Variables with which users say how the threads of OpenMP wait."""


def prepare_process() -> None:
    """Set how threads wait and how torch is loaded; what users have set in the environment stays."""
    # Features take megabytes each, and faulting in their pages of 4 KiB costs up to a fifth of a run. Torch
    # reads this when it is loaded; where there are no huge pages it has no effect.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # Threads that wait by turning in circles take the cores from other programs, and from other runs of this
    # one: three at once then take several times as long as one after the other.
    if not WAITING & os.environ.keys():
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


@contextmanager
def quick_end() -> Iterator[None]:
    """Leave what is still there at the end of the process to the system: to look through it takes long."""
    try:
        yield
    finally:
        gc.freeze()


class _CalmLoader(Loader):
    """Loads a module of many objects that stay, and looks for no garbage meanwhile."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave that to the other loader."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module; its objects are left out of all later collections."""
        collects = gc.isenabled()
        gc.disable()
        try:
            if module.__spec__:
                module.__spec__.loader = self.loader
            self.loader.exec_module(module)
            gc.freeze()
        finally:
            if collects:
                gc.enable()


class _Finder(MetaPathFinder):
    """Finds torch as usual, to be loaded calmly."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find `torch`, and nothing else."""
        spec = PathFinder.find_spec(name, path, target) if name == "torch" else None
        if spec and spec.loader:
            spec.loader = _CalmLoader(spec.loader)
        return spec
