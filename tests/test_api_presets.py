"""Presets from Python: their sections `run` and `blend` count as they do for the command."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.cli import make_picture, run_cli
from PIL import Image

import texsynth

LOOKS = {
    "wall.yaml": "expand:\n  method: patch\n  scale: 1.5\n  patch: {layouts: 1, iterations: [1]}\nrun:\n",
    "photo.yaml": "extends: photo\nrun:\n  max_side: 40\n",
    "mix.yaml": "blend:\n  styles: ['wave.png:2', rough.png]\n  masks: [mask.png, rest]\n"
    "  feather: 1\nstylize: {strength: 0.8}\nrun:\n",
    "some.yaml": "blend:\n  styles: ['wave.png', 'rough.png@2,1']\n  sequential: true\nrun:\n",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> Path:
    """The current folder, with pictures, and a folder `looks` of presets and pictures that these name."""
    monkeypatch.chdir(tmp_path)
    looks = tmp_path / "looks"
    looks.mkdir()
    make_picture(tmp_path / "wall.png", seed=1, height=40, width=48)
    make_picture(looks / "rough.png", seed=2, height=40, width=48)
    make_picture(looks / "wave.png", seed=3)
    mask = np.repeat(np.linspace(0, 255, 48)[None], 40, 0).astype(np.uint8)
    Image.fromarray(mask).save(looks / "mask.png")
    (looks / "tiny.safetensors").write_bytes(model.read_bytes())
    for name, text in LOOKS.items():
        (looks / name).write_text(
            f"{text}  model: tiny.safetensors\n  seed: 5\n  dtype: float32\n  format: jpg"
        )
    return tmp_path


def preset(name: str) -> str:
    return f"looks/{name}.yaml"


def same(result: Any, *command: str) -> None:  # noqa: ANN401 (of any kind)
    done = run_cli(*command, "-o", "out.png", "--force")
    assert done.exit_code == 0, done.stderr
    assert np.array_equal(np.asarray(result), np.asarray(Image.open("out.png")))


def test_the_seed_model_and_size_of_a_preset_are_those_of_the_command(place: Path) -> None:
    wall = preset("wall")
    same(texsynth.expand("wall.png", preset=wall), "expand", "wall.png", "-p", wall)
    same(texsynth.expand("wall.png", preset=wall, seed=6), "expand", "wall.png", "-p", wall, "--seed", "6")
    photo, style = preset("photo"), "looks/wave.png"
    picture = texsynth.stylize("wall.png", style, preset=photo)
    assert picture.size[0] == 40
    same(picture, "stylize", "wall.png", style, "-p", photo)
    larger = texsynth.stylize("wall.png", style, preset=photo, max_side=44)
    same(larger, "stylize", "wall.png", style, "-p", photo, "--max-side", "44")


@pytest.mark.parametrize("name", ["mix", "some"])
def test_the_styles_of_a_preset_are_those_of_the_command(name: str, place: Path) -> None:
    chosen = preset(name)
    same(texsynth.blend("wall.png", preset=chosen), "blend", "wall.png", "-p", chosen)
    # Styles that are given replace those of the preset, with their masks; the rest stays.
    result = texsynth.blend("wall.png", ["looks/rough.png", "looks/wave.png"], preset=chosen)
    styles = ("--style", "looks/rough.png", "--style", "looks/wave.png")
    same(result, "blend", "wall.png", "-p", chosen, *styles)


def test_arguments_lie_over_the_styles_of_a_preset(place: Path) -> None:
    chosen, swapped = preset("mix"), np.asarray(Image.open("looks/mask.png"))[:, ::-1]
    Image.fromarray(swapped).save("swapped.png")
    same(
        texsynth.blend("wall.png", preset=chosen, masks=[swapped, None], feather=3),
        *("blend", "wall.png", "-p", chosen, "--mask", "swapped.png", "--mask", "rest", "--feather", "3"),
    )  # fmt: skip
    weighed = texsynth.blend("wall.png", preset=chosen, weights=[0, 1])
    assert not np.array_equal(np.asarray(weighed), np.asarray(texsynth.blend("wall.png", preset=chosen)))


def test_a_model_is_loaded_as_a_preset_says(place: Path) -> None:
    model = texsynth.load_model(preset=preset("wall"))
    assert (model.name, str(model.dtype)) == ("looks/tiny.safetensors", "torch.float32")
    assert texsynth.load_model("lite", preset=preset("wall")).name == "lite"
    same(
        texsynth.stylize("wall.png", "looks/wave.png", preset=preset("photo"), model=model),
        *("stylize", "wall.png", "looks/wave.png", "-p", preset("photo")),
    )


def test_a_transposer_counts_from_the_file_of_its_preset(place: Path) -> None:
    (place / "looks" / "nets.yaml").write_text("expand: {transposer: mine.safetensors}")
    settings = texsynth.load_preset(preset("nets"), "expand")
    assert settings.transposer == "looks/mine.safetensors"
    (place / "looks" / "name.yaml").write_text("expand: {transposer: none}")
    assert texsynth.load_preset(preset("name"), "expand").transposer is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: texsynth.expand("wall.png", preset="bold"), "preset 'bold' has no settings for expand"),
        (lambda: texsynth.stylize("wall.png", "looks/wave.png", preset="fast"), "'fast' has no settings"),
        (lambda: texsynth.blend("wall.png"), "no style is given"),
        (lambda: texsynth.blend("wall.png", preset=preset("mix"), weights=[1]), "2 styles have 1 weights"),
        (lambda: texsynth.blend("wall.png", preset=preset("some"), weights=[1, 2]), "without weights"),
        (lambda: texsynth.load_preset(preset("only")), "no settings for stylize or expand"),
        (lambda: texsynth.stylize("wall.png", "looks/wave.png", backend="onnx"), "backend is 'onnx'"),
        (
            lambda: texsynth.stylize(
                "wall.png", "looks/wave.png", backend="openvino", model=texsynth.load_model()
            ),
            "but the model is loaded for torch",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(call: Callable[[], object], words: str, place: Path) -> None:
    (place / "looks" / "only.yaml").write_text("run: {seed: 3}")
    with pytest.raises(texsynth.UsageError) as caught:
        call()
    assert words in str(caught.value)


def test_images_say_what_their_inputs_say_unless_stripped(place: Path) -> None:
    exif = Image.Exif()
    exif.update({0x8298: "Ann", 0x112: 1})
    Image.open("wall.png").convert("RGB").save("wall.jpg", exif=exif, dpi=(300, 300), quality=95)
    (place / "looks" / "strip.yaml").write_text("run: {strip: true}")
    for wall in ("wall.jpg", Image.open("wall.jpg")):
        picture = texsynth.tile(wall)
        assert isinstance(picture, Image.Image)
        assert picture.getexif()[0x8298] == "Ann"
        picture.save("again.jpg", exif=picture.info["exif"], dpi=picture.info["dpi"])
        assert Image.open("again.jpg").getexif()[0x8298] == "Ann"
        for stripped in (texsynth.tile(wall, strip=True), texsynth.tile(wall, preset=preset("strip"))):
            assert isinstance(stripped, Image.Image)
            assert not stripped.info


@pytest.mark.skipif(not (find_spec("openvino") and find_spec("onnx")), reason="openvino is not installed")
def test_another_backend_gives_the_picture_of_torch_in_threads_too(place: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    rng = np.random.default_rng(0)
    frames = [rng.random((40 + 8 * n, 56, 3)).astype(np.float32) for n in range(6)]
    model = "looks/tiny.safetensors"
    torchs = texsynth.Stylizer("looks/wave.png", model=model, dtype="float32")
    loaded = texsynth.load_model(model, dtype="float32", backend="openvino")
    assert loaded.backend == "openvino"
    with ThreadPoolExecutor(4) as pool:
        for ours in (
            texsynth.Stylizer("looks/wave.png", model=loaded),
            texsynth.Stylizer("looks/wave.png", model=model, dtype="float32", backend="openvino"),
        ):
            for frame, result in zip(frames, pool.map(ours, frames), strict=True):
                np.testing.assert_allclose(result, torchs(frame), atol=2e-4)
