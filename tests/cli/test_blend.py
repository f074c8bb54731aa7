"""Several styles at once: what the mixture is, who decides where, and what the command promises."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cli import make_picture, run_cli
from helpers.nets import tiny_model, waves
from torch import Tensor
from torch.testing import assert_close

from texsynth.config.settings import (
    AdaINSettings,
    IFTSettings,
    OTSettings,
    StylizeSettings,
    TransformSettings,
    WCTSettings,
)
from texsynth.errors import UsageError
from texsynth.images import Picture, read, write
from texsynth.jobs.blend import sweep_sheet
from texsynth.jobs.blend_inputs import (
    BlendJob,
    BlendSpec,
    StyleArgument,
    StyleSource,
    style_argument,
    sweep_weights,
)
from texsynth.jobs.inputs import Input
from texsynth.jobs.outcomes import Done, Report, WrittenInfo
from texsynth.pipelines.masks import label_masks, share_masks
from texsynth.pipelines.stylize import FittedStyle, StyledRegion, fit_style, stylize
from texsynth.transforms import fit_map, fit_mix
from texsynth.transforms.moments import Moments

TRANSFORMS = [AdaINSettings(), WCTSettings(), OTSettings(), IFTSettings(), IFTSettings(centred=False)]
MODES = [StylizeSettings(grain=0.0), StylizeSettings(mode="photo")]


def moments(seed: int, spread: float = 1.0) -> Moments:
    features = torch.randn(1, 5, 30, 30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mixing = torch.randn(5, 5, generator=torch.Generator().manual_seed(seed + 50), dtype=torch.float64)
    return Moments.of(spread * torch.einsum("ij,njhw->nihw", mixing, features) + seed)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
def test_a_mixture_of_one_style_with_itself_is_that_style(transform: TransformSettings) -> None:
    content, style = moments(1), moments(2)
    alone, mixed = fit_map(transform, content, style), fit_mix(transform, content, [style, style], [0.3, 2.0])
    assert_close(mixed.matrix, alone.matrix, atol=1e-6, rtol=1e-6)
    assert_close(mixed.offset, alone.offset, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
def test_a_style_of_weight_zero_does_not_count(transform: TransformSettings) -> None:
    content, a, b = moments(1), moments(2), moments(3)
    mixed = fit_mix(transform, content, [a, b], [1.0, 0.0])
    assert_close(mixed.matrix, fit_map(transform, content, a).matrix, atol=1e-6, rtol=1e-6)


def test_the_pull_of_several_styles_is_that_of_their_mean_second_moment() -> None:
    """Sum w_k |X - S_k|^2 and |X - sum w_k S_k|^2 differ by a constant, so they have one gradient."""
    a, b = moments(2), moments(3)
    target = torch.rand(5, 5, dtype=torch.float64, requires_grad=True)
    several = 0.3 * (target - a.second).square().sum() + 0.7 * (target - b.second).square().sum()
    one = (target - Moments.blend([a, b], [0.3, 0.7]).second).square().sum()
    (first,), (second,) = (torch.autograd.grad(loss, target) for loss in (several, one))
    assert_close(first, second)


def test_an_average_has_the_mean_of_means_and_of_covariances() -> None:
    a, b = moments(2), moments(3, spread=3.0)
    mean = Moments.average([a, b, Moments.empty(5)], [1, 3, 5])
    assert_close(mean.mean, (a.mean + 3 * b.mean) / 4)
    assert_close(mean.covariance, (a.covariance + 3 * b.covariance) / 4)


def fitted(settings: StylizeSettings, *phases: float) -> list[FittedStyle]:
    return [fit_style(waves(40, 36, phase) ** 2, tiny_model(), settings) for phase in phases]


def blended(settings: StylizeSettings, parts: list[StyledRegion], content: Tensor | None = None) -> Tensor:
    return stylize(waves(48, 64) if content is None else content, parts, tiny_model(), settings)


@pytest.mark.parametrize("settings", MODES, ids=lambda s: s.mode)
def test_a_mask_of_ones_is_no_mask(settings: StylizeSettings) -> None:
    (style,) = fitted(settings, 1.0)
    whole = blended(settings, [StyledRegion((style,), (1.0,))])
    masked = blended(settings, [StyledRegion((style,), (1.0,), torch.ones(1, 1, 48, 64))])
    assert_close(masked, whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("settings", MODES, ids=lambda s: s.mode)
def test_the_order_of_parts_does_not_matter(settings: StylizeSettings) -> None:
    a, b = fitted(settings, 1.0, 2.0)
    left = torch.zeros(1, 1, 48, 64)
    left[..., :32] = 1
    parts = [StyledRegion((a,), (1.0,), left), StyledRegion((b,), (1.0,))]
    assert_close(blended(settings, parts), blended(settings, parts[::-1]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("settings", MODES, ids=lambda s: s.mode)
def test_nothing_changes_outside_a_mask(settings: StylizeSettings) -> None:
    (style,) = fitted(settings, 1.0)
    mask = torch.zeros(1, 1, 48, 64)
    mask[..., :32] = 1
    content = waves(48, 64)
    out = blended(settings, [StyledRegion((style,), (1.0,), mask)], content)
    assert torch.equal(out[..., 32:], content[..., 32:])
    assert not torch.equal(out[..., :32], content[..., :32])


@pytest.mark.parametrize("settings", MODES, ids=lambda s: s.mode)
def test_a_region_is_the_same_whatever_is_beside_it(settings: StylizeSettings) -> None:
    """Regions have their own statistics and are made whole, so nothing shows at a border but the border."""
    a, b = fitted(settings, 1.0, 2.0)
    content = torch.cat([waves(48, 64), 0.2 + 0.3 * waves(48, 64, 4.0)], 3)
    mask = torch.zeros(1, 1, 48, 128)
    mask[..., :64] = 1
    both = blended(settings, [StyledRegion((a,), (1.0,), mask), StyledRegion((b,), (1.0,))], content)
    right = blended(settings, [StyledRegion((b,), (1.0,), 1 - mask)], content)
    assert_close(both[..., 64:], right[..., 64:], atol=1e-5, rtol=0)


def test_levels_without_a_style_are_left_alone() -> None:
    (style,) = fitted(StylizeSettings(), 1.0)
    deep = blended(StylizeSettings(grain=0.0), [StyledRegion((style.only([4]),), (1.0,))])
    alone = StylizeSettings(grain=0.0, levels=(4,))
    assert_close(deep, blended(alone, [StyledRegion((style,), (1.0,))]), atol=1e-5, rtol=0)


def test_an_empty_region_is_no_trouble() -> None:
    (style,) = fitted(MODES[0], 1.0)
    out = blended(
        MODES[0], [StyledRegion((style,), (1.0,), torch.zeros(1, 1, 48, 64)), StyledRegion((style,), (1.0,))]
    )
    assert out.isfinite().all()


def test_shares_add_up_to_what_is_covered() -> None:
    rng = torch.Generator().manual_seed(0)
    masks = [
        torch.rand(1, 1, 8, 9, generator=rng) * (torch.rand(1, 1, 8, 9, generator=rng) > 0.3) for _ in "abc"
    ]
    parts = share_masks(masks, [1.0, 2.0, 0.0])
    assert_close(torch.stack(parts).sum(0), (masks[0] + masks[1]).clamp_max(1))
    alone = masks[1] == 0
    assert_close(parts[0][alone], masks[0][alone])
    assert not parts[2].any()


@pytest.mark.parametrize("feather", [0, 1, 4, 9])
def test_label_masks_add_up_to_one(feather: int) -> None:
    labels = torch.randint(0, 3, (1, 1, 20, 24), generator=torch.Generator().manual_seed(1)).float()
    masks = label_masks(labels, [0, 1, 2], feather)
    assert_close(torch.stack(masks).sum(0), torch.ones(1, 1, 20, 24))
    if not feather:
        assert all(torch.equal(mask, (labels == k).float()) for k, mask in enumerate(masks))


@pytest.mark.parametrize(("styles", "pictures"), [(2, 4), (3, 10), (4, 16)])
def test_a_sweep_begins_and_ends_with_single_styles(styles: int, pictures: int) -> None:
    weights = list(sweep_weights(styles, 4))
    assert len(weights) == pictures
    assert all(sum(w) == pytest.approx(1) and min(w) >= 0 for w in weights)
    for k in range(styles):
        assert any(w[k] == pytest.approx(1) for w in weights)
    assert len({tuple(np.round(w, 9)) for w in weights}) == len(weights)


@pytest.mark.parametrize("styles", [2, 3, 4])
def test_the_sheet_of_a_sweep_has_all_pictures(styles: int, tmp_path: Path) -> None:
    """Flat pictures of one grey each."""
    spec = BlendSpec(tuple(StyleSource((Input(Path("style.png"), ""),)) for _ in range(styles)))
    report = Report(0)
    for number, weights in enumerate(sweep_weights(styles, 4), 10):
        path = tmp_path / f"{number}.png"
        write(Picture(np.full((20, 20, 3), 9 * number, np.uint8), None), path)
        job = BlendJob(Input(path, ""), path, spec, StylizeSettings(), weights)
        report.outcomes.append(Done(job, WrittenInfo(20, 20), 0.0))
    greys = set(np.unique(sweep_sheet(report, 4).rgb).tolist())
    assert greys >= {9 * (10 + k) for k in range(len(report.outcomes))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.jpg", StyleArgument("a.jpg")),
        ("a.jpg:0.7", StyleArgument("a.jpg", 0.7)),
        ("a.jpg@3,4", StyleArgument("a.jpg", None, (4, 3))),
        ("a.jpg:2@1", StyleArgument("a.jpg", 2.0, (1,))),
        ("C:/art/a.jpg:.5", StyleArgument("C:/art/a.jpg", 0.5)),
        ("C:/art/a.jpg", StyleArgument("C:/art/a.jpg")),
    ],
)
def test_style_arguments(text: str, expected: StyleArgument) -> None:
    assert style_argument(text) == expected


def test_a_file_of_that_whole_name_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "odd.png:3"
    path.write_bytes(b"")
    assert style_argument(str(path)) == StyleArgument(str(path))


@pytest.mark.parametrize("text", ["", "a.jpg@", "a.jpg@6", "a.jpg@1,,2"])
def test_bad_style_arguments(text: str) -> None:
    with pytest.raises(UsageError, match="--style"):
        style_argument(text)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a content, two styles and a mask of its left half."""
    monkeypatch.chdir(tmp_path)
    make_picture(tmp_path / "cat.png", seed=1)
    make_picture(tmp_path / "wave.png", seed=2, height=30, width=28)
    make_picture(tmp_path / "oil.png", seed=3)
    paint(tmp_path / "left.png", [(255, 255, 255), (0, 0, 0)])
    return tmp_path


def paint(path: Path, colours: list[tuple[int, int, int]], height: int = 33, width: int = 41) -> None:
    """Upright stripes."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for k, colour in enumerate(colours):
        pixels[:, k * width // len(colours) : (k + 1) * width // len(colours)] = colour
    write(Picture(pixels), path)


def pixels(name: str) -> np.ndarray:
    return read(Path(name)).rgb.astype(int)


BOTH = ("--style", "wave.png:3", "--style", "oil.png:1")


@pytest.mark.parametrize("transform", ["ift", "wct", "ot", "adain"])
def test_a_blend_lies_between_and_replays(place: Path, model: Path, transform: str) -> None:
    flags = ["--model", model, "--dtype", "float32", "--transform", transform]
    assert run_cli("blend", "cat.png", *BOTH, *flags).stdout == "cat.blend.png\n"
    for style in ("wave.png", "oil.png"):
        assert run_cli("blend", "cat.png", "--style", style, "-o", f"only_{style}", *flags).exit_code == 0
    assert (pixels("cat.blend.png") != pixels("only_wave.png")).any()
    assert (pixels("cat.blend.png") != pixels("only_oil.png")).any()
    again = run_cli("replay", "cat.blend.png", "-o", "again.png")
    assert again.exit_code == 0, again.stderr
    assert Path("again.png").read_bytes() == Path("cat.blend.png").read_bytes()


def test_one_style_is_what_stylize_makes(place: Path, model: Path) -> None:
    flags = ["--model", model, "--dtype", "float32"]
    assert run_cli("blend", "cat.png", "--style", "oil.png", "-o", "a.png", *flags).exit_code == 0
    assert run_cli("stylize", "cat.png", "oil.png", "-o", "b.png", *flags).exit_code == 0
    assert (pixels("a.png") == pixels("b.png")).all()


def test_a_card_is_as_good_as_its_picture(place: Path, model: Path) -> None:
    flags = ["--model", model, "--dtype", "float32"]
    assert run_cli("card", "make", "oil.png", *flags).exit_code == 0
    for style, out in (("oil.png", "a.png"), ("oil.card", "b.png")):
        for command in (["stylize", "cat.png", style], ["blend", "cat.png", "--style", style, "--photo"]):
            result = run_cli(*command, "-o", f"{command[0]}_{out}", *flags)
            assert result.exit_code == 0, result.stderr
    assert (pixels("stylize_a.png") == pixels("stylize_b.png")).all()
    assert (pixels("blend_a.png") == pixels("blend_b.png")).all()


def test_a_folder_of_styles_adds_up_like_its_card(place: Path, model: Path) -> None:
    flags = ["--model", model, "--dtype", "float32"]
    (place / "art").mkdir()
    for name in ("wave.png", "oil.png"):
        (place / "art" / name).write_bytes((place / name).read_bytes())
    assert run_cli("card", "make", "art", "-o", "art.card", *flags).exit_code == 0
    for style, out in (("art", "a.png"), ("art.card", "b.png")):
        assert run_cli("blend", "cat.png", "--style", style, "-o", out, *flags).exit_code == 0
    assert np.abs(pixels("a.png") - pixels("b.png")).max() <= 1


def test_masks_say_where(place: Path) -> None:
    flags = ["--dtype", "float32", "--photo"]
    masks = ["--style", "wave.png", "--mask", "left.png"]
    assert run_cli("blend", "cat.png", *masks, "-o", "half.png", *flags).exit_code == 0
    assert (pixels("half.png")[:, 20:] == pixels("cat.png")[:, 20:]).all()
    rest = ["--style", "oil.png", "--mask", "rest"]
    assert run_cli("blend", "cat.png", *masks, *rest, "-o", "both.png", *flags).exit_code == 0
    assert (pixels("both.png")[:, 20:] != pixels("cat.png")[:, 20:]).any()
    assert np.abs(pixels("both.png")[:, :20] - pixels("half.png")[:, :20]).max() <= 1
    assert run_cli("replay", "both.png", "-o", "again.png").exit_code == 0
    assert Path("again.png").read_bytes() == Path("both.png").read_bytes()


def test_labels_go_to_their_like(place: Path, model: Path) -> None:
    """With one label everywhere it is the plain transfer; a label that a style lacks takes all of it."""
    flags = ["--model", model, "--dtype", "float32"]
    paint(place / "one.png", [(9, 9, 9)])
    paint(place / "two.png", [(9, 9, 9), (0, 90, 0)])
    assert run_cli("blend", "cat.png", "--style", "oil.png", "-o", "plain.png", *flags).exit_code == 0
    for name, content, style in (("same", "one", "one"), ("less", "two", "one"), ("two", "two", "two")):
        labels = ["--content-labels", f"{content}.png", "--style-labels", f"{style}.png"]
        result = run_cli("blend", "cat.png", "--style", "oil.png", *labels, "-o", f"{name}_.png", *flags)
        assert result.exit_code == 0, result.stderr
        assert ("next to nothing of #005a00" in result.stderr) == (name == "less")
    assert np.abs(pixels("same_.png") - pixels("plain.png")).max() <= 1
    assert (pixels("two_.png") != pixels("plain.png")).any()
    assert run_cli("replay", "two_.png", "-o", "again.png").exit_code == 0
    assert Path("again.png").read_bytes() == Path("two_.png").read_bytes()


def test_sequential_is_one_after_the_other(place: Path, model: Path) -> None:
    flags = ["--model", model, "--dtype", "float32", "--bit-depth", "16", "--set", "grain=0.0"]
    # A weak pull, so that rounding between the two stays small.
    flags += ["--transform", "ift", "--set", "transform.pull=1.0", "--set", "transform.n_upd=15"]
    styles = ["--style", "wave.png", "--style", "oil.png"]
    assert run_cli("blend", "cat.png", *styles, "--sequential", "-o", "a.png", *flags).exit_code == 0
    assert run_cli("stylize", "cat.png", "wave.png", "-o", "b1.png", *flags).exit_code == 0
    assert run_cli("stylize", "b1.png", "oil.png", "-o", "b.png", *flags).exit_code == 0
    assert np.abs(pixels("a.png") - pixels("b.png")).max() <= 3 * 257


def test_a_sweep_writes_all_pictures_and_a_sheet(place: Path, model: Path) -> None:
    flags = ["--style", "wave.png", "--style", "oil.png", "--sweep", "3", "--model", model, "--json"]
    result = run_cli("blend", "cat.png", "-o", "out/", *flags)
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line.get("output") for line in lines] == [*(f"out/cat.blend.{k}.png" for k in (1, 2, 3)), None]
    assert lines[-1]["preview"] == "out/cat.blend.sweep.png"
    ends = [run_cli("blend", "cat.png", "--style", f"{s}.png", "-o", f"{s}_.png", "--model", model).exit_code
            for s in ("wave", "oil")]  # fmt: skip
    assert ends == [0, 0]
    assert (pixels("out/cat.blend.1.png") == pixels("wave_.png")).all()
    assert (pixels("out/cat.blend.3.png") == pixels("oil_.png")).all()
    assert run_cli("replay", "out/cat.blend.2.png", "-o", "out/again.png").exit_code == 0
    assert Path("out/again.png").read_bytes() == Path("out/cat.blend.2.png").read_bytes()


BAD = {
    "weights of all styles are 0": ["--style", "wave.png:0"],
    "settings transform levels": ["--style", "wave.png@5"],
    "give one for each": [*BOTH, "--mask", "left.png"],
    "use one of them": ["--style", "oil.png", "--mask", "left.png", "--content-labels", "left.png",
                        "--style-labels", "left.png"],
    "give both": ["--style", "oil.png", "--content-labels", "left.png"],
    "has a weight": [*BOTH, "--sweep", "3"],
    "two to four styles": ["--style", "oil.png", "--sweep", "3"],
    "from 2 to 64": ["--style", "oil.png", "--style", "wave.png", "--sweep", "1"],
    "--sequential lays": ["--style", "oil.png", "--mask", "left.png", "--sequential"],
    "is also an input": ["--style", "oil.png", "-o", "oil.png"],
}  # fmt: skip


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_blended_is_refused_before_any_work(place: Path, model: Path, message: str) -> None:
    before = sorted(p.name for p in place.iterdir())
    result = run_cli("blend", "cat.png", *BAD[message], "--model", model)
    assert result.exit_code == 2, result.stderr
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(p.name for p in place.iterdir()) == before


def test_files_that_do_not_fit_are_refused(place: Path, model: Path) -> None:
    paint(place / "tall.png", [(255, 255, 255)], height=80, width=20)
    result = run_cli("blend", "cat.png", "--style", "oil.png", "--mask", "tall.png", "--model", model)
    assert result.exit_code == 4
    assert "tall.png has 20 x 80 pixels, which does not fit the 41 x 33 of cat.png" in result.stderr
    noisy = np.random.default_rng(0).integers(0, 256, (33, 41, 3), dtype=np.uint8)
    write(Picture(noisy), place / "noisy.png")
    labels = ["--content-labels", "noisy.png", "--style-labels", "noisy.png"]
    result = run_cli("blend", "cat.png", "--style", "oil.png", *labels, "--model", model)
    assert result.exit_code == 4
    assert "so it is no label map" in result.stderr
    assert not list(place.glob("*.blend.png"))


def test_a_card_of_other_weights_is_refused(place: Path, model: Path) -> None:
    assert run_cli("card", "make", "oil.png", "--model", "lite").exit_code == 0
    result = run_cli("stylize", "cat.png", "oil.card", "--model", model)
    assert result.exit_code == 4
    assert "was made with other weights" in result.stderr
