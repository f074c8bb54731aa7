"""Checkpoints of a few kB that would take gigabytes, or whose tensors lack what is needed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from texsynth.errors import ModelError
from texsynth.models.checkpoints.formats import read_checkpoint

TENSORS = {
    "repeated": torch.zeros(1).expand(100_000),
    "overlapping": torch.zeros(1000).as_strided((900, 900), (1, 0)),
    "sparse": torch.zeros(9, 9).to_sparse(),
    "meta": torch.zeros(9, device="meta"),
    "float8": torch.zeros(9).to(torch.float8_e5m2),
    "complex": torch.zeros(9, dtype=torch.complex64),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_that_are_not_plain(kind: str, tmp_path: Path) -> None:
    torch.save({"0.weight": TENSORS[kind]}, tmp_path / "a.pth")
    with pytest.raises(ModelError):
        read_checkpoint(tmp_path / "a.pth")


def test_many_names_of_one_tensor(tmp_path: Path) -> None:
    tensor = torch.zeros(10_000)
    torch.save({f"{number}.weight": tensor for number in range(100)}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match="no plain tensor"):
        read_checkpoint(tmp_path / "a.pth")


def test_an_archive_that_unpacks_to_more(tmp_path: Path) -> None:
    torch.save({"0.weight": torch.zeros(100_000)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as old, zipfile.ZipFile(tmp_path / "b.pth", "w") as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part), zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="damaged or holds more"):
        read_checkpoint(tmp_path / "b.pth")


def test_plain_tensors_are_read(tmp_path: Path) -> None:
    state: dict[str, Tensor] = {"0.weight": torch.ones(3, 4), "0.bias": torch.ones(3)}
    torch.save(state, tmp_path / "a.pth")
    read = read_checkpoint(tmp_path / "a.pth")
    assert all(torch.equal(read[key], value) for key, value in state.items())
