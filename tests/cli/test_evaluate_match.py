"""How well crops find their own texture: the measure, the conditions, the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cli import run_cli
from helpers.texture_files import save

from texsynth.evaluation.match import (
    CONDITIONS,
    DESCRIPTOR,
    LEVELS,
    STATISTICS,
    Condition,
    crops,
    pooled,
    precision,
)


def make_library(folder: Path, count: int = 3, side: int = 120) -> Path:
    """Textures that nobody would mix up: stripes of other widths, directions and colours."""
    folder.mkdir()
    y, x = np.mgrid[:side, :side]
    for k in range(count):
        bands = ((x if k % 2 else y) // (3 + 2 * k)) % 2
        rgb = np.stack([200 * bands, 60 * k + 40 * bands, 250 - 80 * k + 0 * bands], 2)
        save(folder / f"{k}.png", np.clip(rgb, 0, 255))
    return folder


def test_precision_counts_neighbours_of_the_same_label_and_never_the_query() -> None:
    angles = torch.tensor([0.0, 0.1, 0.2, 1.5, 1.6, 0.3])
    vectors = torch.stack([angles.cos(), angles.sin()], 1)
    labels = torch.tensor([0, 0, 1, 1, 1, 0])
    # The nearest two of 0: 1 and 2; of 3: 4 and 5.
    found = precision(vectors, labels, 2)
    assert found[0] == 0.5
    assert found[3] == 0.5
    assert precision(vectors, labels, 100).tolist() == pytest.approx([2 / 5] * 6)


def test_crops_are_the_nine_parts_of_a_grid() -> None:
    image = torch.rand(1, 3, 100, 90, generator=torch.Generator().manual_seed(0))
    parts = crops(image, Condition("as is"), torch.Generator())
    rows = [torch.cat(parts[k : k + 3], 3) for k in (0, 3, 6)]
    assert torch.equal(torch.cat(rows, 2), image[:, :, 5:95])


def test_conditions_change_what_they_say() -> None:
    image = torch.full((1, 3, 96, 96), 0.5)
    image[..., :48] = 0.3
    for condition in CONDITIONS:
        parts = crops(image, condition, torch.Generator().manual_seed(1))
        sizes = {part.shape[2] for part in parts}
        assert (len(sizes) > 1) == bool(condition.octaves)
        assert all(22 <= size <= 46 for size in sizes)
        levels = {round(float(part.mean()), 2) for part in parts}
        assert (len(levels) > 3) == bool(condition.octaves)
    edge = crops(image, Condition("turned", turned=True), torch.Generator().manual_seed(1))[1::3]
    assert any(float(part[0, 0, 0].std()) < 1e-6 for part in edge)


def test_baselines_are_unit_vectors_of_the_levels_they_name() -> None:
    features = [torch.rand(1, width, 6, 6) for width in (2, 3, 4, 5, 6)]
    found = pooled(features)
    assert set(found) == {f"{name} {levels}" for name in STATISTICS for levels in LEVELS}
    assert len(found["mean 1-5"]) == 20
    assert len(found["mean+std 3-5"]) == 30
    assert len(found["gram 3-5"]) == 16 + 25 + 36
    for vector in found.values():
        assert float(vector.norm()) == pytest.approx(1, rel=1e-5)


@pytest.mark.slow
def test_the_command_finds_crops_of_the_same_texture(tmp_path: Path) -> None:
    library = make_library(tmp_path / "library")
    result = run_cli("evaluate", "match", library, "--json", "--threads", 1)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert rows[0]["method"] == DESCRIPTOR
    assert len(rows) == 1 + len(STATISTICS) * len(LEVELS)
    as_is = {row["method"]: row["conditions"][0]["precision"]["mean"] for row in rows}
    assert as_is[DESCRIPTOR] == 1
    assert [c["condition"] for c in rows[0]["conditions"]] == [c.name for c in CONDITIONS]
    assert "of the errors of the best baseline" in result.stderr


@pytest.mark.slow
def test_unusable_pictures_are_left_out(tmp_path: Path) -> None:
    library = make_library(tmp_path / "library", 2)
    (library / "broken.png").write_bytes(b"no picture")
    save(library / "small.png", np.zeros((50, 50, 3)))
    result = run_cli("evaluate", "match", library, "--threads", 1)
    assert result.exit_code == 3
    assert "broken.png" in result.stderr
    assert "at least 96" in result.stderr
    (library / "1.png").unlink()
    assert run_cli("evaluate", "match", library, "--threads", 1).exit_code == 4
    other = run_cli("evaluate", "match", library, "--descriptor", tmp_path / "none.safetensors")
    assert other.exit_code == 6
