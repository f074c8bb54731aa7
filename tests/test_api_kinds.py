"""What programs with torch, numpy and PIL bring: kinds of pictures and numbers, and torch's own settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.image_files import wide_profile
from PIL import Image

import texsynth

WALL = (np.random.default_rng(0).random((40, 48, 3)) * 255).astype(np.uint8)
INK = (np.random.default_rng(1).random((32, 32, 3)) * 255).astype(np.uint8)
HOLE = np.zeros((40, 48), bool)
HOLE[8:14, 8:14] = True

untyped: Any = texsynth

CALLS: dict[str, Callable[[], Any]] = {
    "expand": lambda: texsynth.expand(WALL[:32, :32], scale=1.25, preset="fast"),
    "tile": lambda: texsynth.tile(WALL[:32, :32], preset="fast"),
    "stylize": lambda: texsynth.stylize(WALL, INK),
    "a photo": lambda: texsynth.stylize(WALL, INK, photo=True),
    "blend": lambda: texsynth.blend(WALL, [INK, WALL]),
    "maps": lambda: texsynth.maps(WALL)["height"],
    "describe": lambda: np.asarray(texsynth.describe(WALL).descriptor),
}


@pytest.mark.parametrize("name", CALLS)
def test_torch_is_as_it_was_and_its_default_device_and_autocast_are_of_no_account(name: str) -> None:
    call = CALLS[name]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    right = call()
    assert torch.equal(torch.get_rng_state(), before)
    torch.set_default_device("meta")
    try:
        np.testing.assert_array_equal(call(), right)
        assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_device(None)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(call(), right)
        assert torch.is_autocast_enabled("cpu")


def test_another_default_dtype_is_refused_in_a_sentence() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(texsynth.UsageError, match=r"default dtype is torch\.float64; use "):
            texsynth.stylize(WALL, INK)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("mask", [HOLE, torch.from_numpy(HOLE), torch.from_numpy(HOLE)[None],
                                  torch.from_numpy(HOLE).float(), HOLE.astype(np.uint8) * 255,
                                  Image.fromarray(HOLE)], ids=lambda mask: type(mask).__name__)  # fmt: skip
def test_masks_may_be_of_any_kind(mask: Any) -> None:  # noqa: ANN401
    right = texsynth.fill(WALL, HOLE.astype(float))
    np.testing.assert_array_equal(texsynth.fill(WALL, mask), right)


def test_arrays_may_have_the_other_order_of_bytes() -> None:
    wall = WALL.astype(np.uint16) * np.uint16(257)
    result = texsynth.stylize(wall.astype(wall.dtype.newbyteorder()), INK)
    np.testing.assert_array_equal(result, texsynth.stylize(wall, INK))


def test_tensors_of_bytes_come_out_as_they_went_in() -> None:
    """As `torchvision.io.read_image` gives them."""
    tensor = torch.from_numpy(WALL).permute(2, 0, 1)
    result = texsynth.stylize(tensor, torch.from_numpy(INK).permute(2, 0, 1))
    assert result.dtype == torch.uint8
    np.testing.assert_array_equal(result.permute(1, 2, 0).numpy(), texsynth.stylize(WALL, INK))


@pytest.mark.parametrize(
    "kind", [np.float16, np.float64, torch.float16, torch.bfloat16, torch.float64], ids=str
)
def test_floats_of_any_width_are_the_same_picture(kind: Any) -> None:  # noqa: ANN401
    """Half floats end below 65535, so that they must not be scaled as they are."""
    grey = np.repeat(np.linspace(0, 1, 48), 40).reshape(48, 40).T[..., None].repeat(3, 2)
    is_array = kind in (np.float16, np.float64)
    values = grey.astype(kind) if is_array else torch.from_numpy(grey).permute(2, 0, 1).to(kind)
    result = texsynth.stylize(values, INK, strength=0.0)
    assert result.dtype == kind
    right = torch.from_numpy(texsynth.stylize(grey, INK, strength=0.0))
    result = torch.as_tensor(result) if is_array else torch.as_tensor(result).permute(1, 2, 0)
    torch.testing.assert_close(result.double(), right, atol=0.01, rtol=0)


def test_values_that_round_into_the_range_are_in_it() -> None:
    near = np.array([-1e-7, 1 + 1e-7]).repeat(960).reshape(40, 48, 1).repeat(3, 2)
    np.testing.assert_array_equal(texsynth.stylize(near, INK), texsynth.stylize(near.clip(0, 1), INK))


def test_views_of_arrays_are_the_same_picture() -> None:
    right = texsynth.stylize(WALL[::-1, ::-1].copy(), INK)
    frozen = WALL[::-1, ::-1].copy()
    frozen.flags.writeable = False
    for view in (WALL[::-1, ::-1], np.asfortranarray(WALL[::-1, ::-1]), frozen):
        np.testing.assert_array_equal(texsynth.stylize(view, INK), right)


@pytest.mark.parametrize(
    ("mode", "becomes"),
    [("1", "RGB"), ("L", "RGB"), ("LA", "RGBA"), ("La", "RGBA"), ("P", "RGB"), ("PA", "RGBA"),
     ("CMYK", "RGB"), ("RGBa", "RGBA"), ("LAB", "RGB"), ("HSV", "RGB"), ("I;16", "RGB")],
)  # fmt: skip
def test_images_of_every_mode_of_pil(mode: str, becomes: str) -> None:
    steps = {"La": ("LA",), "RGBa": ("RGBA",), "PA": ("LA",), "I;16": ("L", "I")}.get(mode, ())
    image = Image.fromarray(WALL)
    for each in (*steps, mode):
        image = image.convert(each)
    assert texsynth.stylize(image, INK).mode == becomes


def in_display_p3(pixels: np.ndarray[Any, Any]) -> Image.Image:
    image = Image.fromarray(pixels)
    image.info["icc_profile"] = wide_profile()
    return image


def test_images_of_a_wide_space_come_back_in_it(tmp_path: Path) -> None:
    """From memory as from a file, of the same numbers; a style in it is the colours that it shows."""
    wall = in_display_p3(WALL)
    wall.save(tmp_path / "wall.png")
    calls: dict[str, Callable[[Any], Image.Image]] = {
        "stylize": lambda content: texsynth.stylize(content, INK, photo=True, strength=0, name="wall"),
        "blend": lambda content: texsynth.blend(content, [INK, INK], photo=True, strength=0, name="wall"),
        "tile": lambda exemplar: texsynth.tile(exemplar, preset="fast", name="wall"),
    }
    for name, call in calls.items():
        result, same = call(wall), call(tmp_path / "wall.png")
        assert result.info["icc_profile"] == same.info["icc_profile"] == wide_profile(), name
        assert np.array_equal(np.asarray(result), np.asarray(same)), name
        assert name == "tile" or np.abs(np.asarray(result).astype(int) - WALL).max() <= 1, name
    assert "icc_profile" not in texsynth.stylize(Image.fromarray(WALL), wall).info
    assert isinstance(texsynth.stylize(WALL, wall), np.ndarray)
    plain, wide = (texsynth.stylize(WALL, style) for style in (INK, in_display_p3(INK)))
    assert not np.array_equal(plain, wide)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "None": (lambda: untyped.stylize(None, INK), "the content is of NoneType; give a path, a PIL image"),
    "a list": (lambda: untyped.stylize(WALL.tolist(), INK), "the content is of list; give a path"),
    "no style": (lambda: untyped.stylize(WALL, None), "the style is of NoneType"),
    "bytes": (lambda: untyped.describe(b"abc"), "the image is of bytes"),
    "a batch": (lambda: texsynth.stylize(torch.rand(2, 3, 40, 48), INK), "(2, 3, 40, 48); give one picture"),
    "no pixels": (lambda: texsynth.stylize(torch.rand(3, 0, 48), INK), "has the shape (0, 48, 3)"),
    "one axis": (lambda: texsynth.stylize(torch.rand(48), INK), "has the shape (48,)"),
    "integers": (lambda: texsynth.stylize(WALL.astype(int), INK), "of int64; give bool, uint8, uint16"),
    "no numbers": (lambda: texsynth.tile(np.full((40, 48), np.nan)), "values outside of [0, 1]"),
    "mode F": (lambda: texsynth.tile(Image.new("F", (48, 40))), "of mode F, whose range is unknown"),
    "a size": (lambda: texsynth.expand(WALL, size=(1, 2, 3)), "not longer than 2"),
    "a side": (lambda: untyped.expand(WALL, size=(64.0, 64)), "size.0 is 64.0 but must be a whole number"),
    "a device": (lambda: untyped.describe(WALL, device=3), "device is 3"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_or_setting_is_refused_in_a_sentence(name: str) -> None:
    call, words = REFUSED[name]
    with pytest.raises(texsynth.TexsynthError) as caught:
        call()
    assert words in str(caught.value)


def test_numbers_of_numpy_and_names_of_torch_are_settings() -> None:
    options: dict[str, Any] = {"seed": np.int64(3), "strength": np.float32(0.5)}
    options |= {"device": torch.device("cpu"), "dtype": torch.float32}
    right = texsynth.stylize(WALL, INK, seed=3, strength=0.5, device="cpu", dtype="float32")
    np.testing.assert_array_equal(texsynth.stylize(WALL, INK, **options), right)
    for size in (64, [64, 64], np.array([64, 64]), np.int64(64)):
        assert untyped.expand(WALL, size=size, preset="fast").shape == (64, 64, 3)
