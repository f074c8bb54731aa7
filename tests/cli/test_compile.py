"""--compile: the same pictures from compiled networks, and a plain word where there is no compiler."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from helpers.cli import make_picture, run_cli, run_program

from texsynth import images
from texsynth.images.tensors import to_image


@pytest.fixture(autouse=True)
def quick_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process compiles, without vectors, which doubles what the C++ compiler has to read."""
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    monkeypatch.setenv("TORCHINDUCTOR_VEC_ISA_OK", "0")


@pytest.fixture
def asked(model: Path, tmp_path: Path) -> list[object]:
    """A stylization by float32 networks."""
    content = make_picture(tmp_path / "content.png", seed=1)
    style = make_picture(tmp_path / "style.png", seed=2, height=40)
    return ["stylize", content, style, "--model", model, "--dtype", "float32", "--set", "levels=[1]"]


def picture(path: Path) -> torch.Tensor:
    return to_image(images.read(path))


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
def test_compiled_networks_make_the_same_picture(
    asked: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("TEXSYNTH_CACHE", str(tmp_path / "cache"))
    assert run_cli(*asked, "-o", tmp_path / "plain.png").exit_code == 0
    # A process of its own, as the compiler of torch stays in memory.
    done = run_program(*asked, "--compile", "-o", "compiled.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    plain, compiled = picture(tmp_path / "plain.png"), picture(tmp_path / "compiled.png")
    assert (plain - compiled).abs().max() <= 1.01 / 255
    # What was compiled is kept beside the models.
    assert any((tmp_path / "cache" / "compiled").rglob("*.cpp"))


@pytest.mark.slow
def test_without_a_compiler_the_cure_is_named(
    asked: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    done = run_program(*asked, "--compile", "-o", "out.png", cwd=tmp_path)
    assert done.returncode == 2
    assert b"--compile does not work on this machine" in done.stderr
    assert b"leave it out" in done.stderr
    assert not (tmp_path / "out.png").exists()
