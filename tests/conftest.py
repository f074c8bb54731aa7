"""The environment of the tests and the benchmarks, before anything loads torch."""

import os
import tempfile
from pathlib import Path

import pytest
from helpers.browser_fixtures import driver

__all__ = ["driver", "model"]

# As the `texsynth` command does.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

# No test shall meet the models of who runs it; the folder is made by none.
os.environ["TEXSYNTH_CACHE"] = os.path.join(tempfile.gettempdir(), f"texsynth-no-cache-{os.getpid()}")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests run side by side, one for each core.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a random model."""
    # Torch reads the environment when it is imported.
    from helpers.cli import make_model

    return make_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")
