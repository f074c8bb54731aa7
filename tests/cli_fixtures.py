"""What most tests of the command line need."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_helpers import make_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a random model."""
    return make_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")
