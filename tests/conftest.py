"""The environment of the tests and the benchmarks, before anything loads torch."""

import os
import signal
import tempfile
from pathlib import Path

import pytest
from helpers.browser_fixtures import driver

from texsynth.cores import cores

__all__ = ["driver", "model"]

# As the `texsynth` command does.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

# No test shall meet the models of who runs it; the folder is made by none.
os.environ["TEXSYNTH_CACHE"] = os.path.join(tempfile.gettempdir(), f"texsynth-no-cache-{os.getpid()}")
# Nor the presets.
os.environ["TEXSYNTH_PRESETS"] = os.path.join(tempfile.gettempdir(), f"texsynth-no-presets-{os.getpid()}")

# A job in the background ignores Ctrl-C and hands that on to the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests run side by side, more than there are cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a random model."""
    # Torch reads the environment when it is imported.
    from helpers.cli import make_model

    return make_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait for a process, a browser or a signal."""
    return cores() + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder and by what they use, so that no file has to say it."""
    for item in items:
        if "faults" in item.path.relative_to(Path(__file__).parent).parts:
            item.add_marker("faults")
        if "driver" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
