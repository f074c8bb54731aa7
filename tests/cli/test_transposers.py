"""Transposers as models: listed, imported, verified, used by name or file, recorded and replayed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.cli import names, run_cli
from helpers.nets import WIDTHS, tiny_borders, tiny_tensors
from helpers.texture_files import ok, record, save, texture
from torch import nn

from texsynth import api
from texsynth.errors import UsageError
from texsynth.jobs import memory
from texsynth.models.hub.cache import file_hash
from texsynth.models.hub.catalog import locate
from texsynth.models.transposer_paper import PaperTransposer
from texsynth.models.vgg import Encoder
from texsynth.models.weights import prefixed, write_exact, write_weights

PLAIN = ("--threads", 1, "--device", "cpu", "--dtype", "float32")


def write_network(path: Path, net: nn.Module, **header: str) -> Path:
    write_exact(path, net.state_dict(), header)
    return path


def paper(seed: int = 0, *, own: bool = True) -> PaperTransposer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return PaperTransposer.of_width(1 / 32, None if own else Encoder(WIDTHS))


@pytest.fixture
def cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a texture and with networks of both layouts, two of them in the cache."""
    monkeypatch.setenv("TEXSYNTH_CACHE", str(place / "cache"))
    save(place / "wall.png", texture())
    write_network(place / "features.safetensors", paper(own=False), licence="MIT")
    write_network(place / "own.safetensors", paper(), licence="MIT", layout="paper", taps="4 8 16")
    write_exact(place / "copying.safetensors", prefixed("borders", tiny_borders().state_dict()), {})
    ok("models", "import", "own.safetensors")
    ok("models", "import", "copying.safetensors", "--name", "copies")
    return place / "cache"


def test_models_know_transposers(cache: Path, place: Path) -> None:
    rows = {row["name"]: row for row in map(json.loads, ok("models", "list", "--json").stdout.splitlines())}
    kinds = {name: (row["kind"], row["source"], row.get("layout")) for name, row in rows.items()}
    assert kinds == {
        "lite": ("features", "embedded", None),
        "borders": ("transposer", "embedded", "copies"),
        "own": ("transposer", "cached", "paper"),
        "copies": ("transposer", "cached", "copies"),
        "vgg19": ("features", "available", None),
        "vgg19-torchvision": ("features", "available", None),
    }
    assert rows["own"]["sha256"] == file_hash(cache / "own.safetensors")
    assert (cache / "own.safetensors").read_bytes() == (place / "own.safetensors").read_bytes()
    text = ok("models", "list").stdout
    assert "transposer  cached     layout paper" in text
    shown = ok("models", "show", "own").stdout.splitlines()
    assert {"kind: transposer", "layout: paper", "licence: MIT", "taps: 4 8 16"} <= set(shown)
    assert json.loads(ok("models", "show", "copies", "--json").stdout)["layout"] == "copies"
    assert "own: ok (cached)" in ok("models", "verify").stdout
    (cache / "own.safetensors").write_bytes((place / "features.safetensors").read_bytes())
    broken = run_cli("models", "verify", "own")
    assert (broken.exit_code, "own is missing or not as it was stored" in broken.stderr) == (6, True)
    used = run_cli("expand", "wall.png", "--transposer", "own", *PLAIN)
    assert (used.exit_code, "own.safetensors is not as it was stored" in used.stderr) == (6, True)
    ok("models", "remove", "own")
    taken = run_cli("models", "import", "own.safetensors", "--name", "lite")
    assert (taken.exit_code, "no name of an embedded model" in taken.stderr) == (2, True)


@pytest.mark.parametrize("network", ["own", "copies", "features.safetensors"])
def test_a_network_is_used_recorded_and_replayed(network: str, cache: Path, place: Path) -> None:
    made = ok("expand", "wall.png", "--transposer", network, "--size", "90x70", "--json", *PLAIN)
    assert json.loads(made.stdout.splitlines()[0])["method"] == "transposer", "a named network is used"
    carried = record(place / "wall.expand.png")
    file = place / network if network.endswith(".safetensors") else cache / f"{network}.safetensors"
    if network == "copies":
        file = place / "copying.safetensors"
    assert (carried.expand.transposer, carried.transposer_sha256) == (network, file_hash(file))
    assert "other weights" not in ok("replay", "wall.expand.png").stderr
    result = (place / "wall.expand.png").read_bytes()
    assert (place / "wall.expand.replay.png").read_bytes() == result
    ok("expand", "wall.png", "-p", "fast", "--size", "90x70", "-o", "plain.png", *PLAIN)
    assert (place / "plain.png").read_bytes() != result
    assert record(place / "plain.png").transposer_sha256 == file_hash(locate("borders"))
    ok(
        "expand",
        "wall.png",
        "-p",
        "fast",
        "--size",
        "90x70",
        "--transposer",
        "none",
        "-o",
        "bare.png",
        *PLAIN,
    )
    assert (place / "bare.png").read_bytes() not in (result, (place / "plain.png").read_bytes())
    bare = record(place / "bare.png")
    assert (bare.expand.transposer, bare.transposer_sha256) == (None, None)


@pytest.mark.parametrize("method", ["patch", "transposer+patch"])
def test_the_embedded_network_is_left_out_where_patches_replace_its_pixels(method: str, place: Path) -> None:
    save(place / "wall.png", texture())
    ok("expand", "wall.png", "--method", method, "--set", "patch.layouts=1", *PLAIN)
    carried = record(place / "wall.expand.png")
    assert (carried.expand.transposer, carried.transposer_sha256) == (None, None)


def test_replay_tells_of_other_weights_and_of_none(cache: Path, place: Path) -> None:
    ok("expand", "wall.png", "--transposer", "features.safetensors", *PLAIN)
    write_network(place / "features.safetensors", paper(seed=3))
    again = ok("replay", "wall.expand.png")
    assert "made with other weights of the transposer" in again.stderr
    (place / "features.safetensors").unlink()
    gone = run_cli("replay", "wall.expand.png", "-f")
    assert (gone.exit_code, "features.safetensors does not exist" in gone.stderr) == (6, True)


def test_variations_presets_and_further_stages(cache: Path, place: Path) -> None:
    ok("expand", "wall.png", "--transposer", "own", "--variation", 0.5, "--count", 2, "-o", "out/", *PLAIN)
    one, two = (place / f"out/wall.expand.{k}.png" for k in (1, 2))
    assert one.read_bytes() != two.read_bytes()
    (place / "mine.yaml").write_text("expand: {method: transposer+patch, transposer: own}\n")
    save(place / "height.png", texture()[..., 0])
    ok("expand", "wall.png", "-p", "mine.yaml", "--with", "height.png", "--set", "patch.layouts=1", *PLAIN)
    assert record(place / "wall.expand.png").transposer_sha256 == file_hash(cache / "own.safetensors")
    assert (place / "height.expand.png").exists()


def test_python_takes_one_too(cache: Path) -> None:
    exemplar = torch.rand(3, 32, 40)
    out = api.expand(exemplar, transposer="own", device="cpu")
    assert out.shape == (3, 64, 80)
    with pytest.raises(UsageError, match="does not use the transposer own"):
        api.expand(exemplar, method="patch", transposer="own")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--transposer", "owm"), 2, "unknown transposer 'owm'; did you mean 'own'?"),
        (("--transposer", "gone.safetensors"), 6, "gone.safetensors does not exist"),
        (("--transposer", "text.safetensors"), 6, "text.safetensors is damaged"),
        (("--transposer", "old.safetensors"), 6, "is a Transposer of version 0.1, whose kind is gone"),
        (("--transposer", "lite"), 6, "lite is a model of features, not a Transposer; give it as --model"),
        (("--transposer", "vgg19"), 2, "unknown transposer 'vgg19'; known are borders, copies, own"),
        (("--transposer", "taps.safetensors"), 6, "trained for features at 1/2, 1/4, 1/8 of the sides"),
        (("--transposer", "part.safetensors"), 6, "no whole Transposer of layout paper"),
        (("--model", "own"), 6, "own is a Transposer, not a model of features; use it with `expand --tra"),
        (("--transposer", "own", "--tileable"), 2, "have borders; leave out --tileable"),
        (("--transposer", "own", "--with", "wall.png"), 2, "copies no pixels that sibling maps could follow"),
        (("--transposer", "own", "--method", "patch"), 2, "method patch does not use the transposer own"),
        (("--transposer", "own", "--mask", "wall.png"), 2, "cannot be used with a mask"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: tuple[str, ...], code: int, words: str, cache: Path, place: Path
) -> None:
    (place / "text.safetensors").write_text("I am text\n" * 9)
    write_weights(place / "old.safetensors", {"copy.key.weight": torch.zeros(6, 6, 3, 3)}, {})
    write_network(place / "taps.safetensors", paper(), taps="2 4 8")
    state = paper().state_dict()
    write_exact(place / "part.safetensors", {k: v for k, v in state.items() if "scale8" not in k}, {})
    before = names(place)
    for dry in ((), ("-n",)):
        result = run_cli("expand", "wall.png", *arguments, *PLAIN, *dry)
        assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
        assert result.stdout == ""
        assert len([line for line in result.stderr.splitlines() if not line.startswith("try ")]) == 1
    assert names(place) == before
    assert run_cli("tile", "wall.png", "--set", "transposer=own").exit_code == 2


def test_a_transposer_is_imported_alone_and_whole(cache: Path, place: Path) -> None:
    write_weights(place / "tiny.safetensors", tiny_tensors(), {})
    for files, words in (
        (("features.safetensors", "tiny.safetensors"), "is a Transposer; give it alone"),
        (("part.safetensors",), "no whole Transposer"),
    ):
        state = paper().state_dict()
        write_exact(place / "part.safetensors", {k: v for k, v in state.items() if "scale8" not in k}, {})
        result = run_cli("models", "import", *files, "--name", "x")
        assert (result.exit_code, words in result.stderr) == (6, True), result.stderr
    assert not (cache / "x.safetensors").exists()


def test_copies_need_memory_with_and_without_a_network(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("expand", "wall.png", "--size", "1000x1000", "-n", *PLAIN)
    for allowed, code in ((400, 7), (500, 0)):
        free = memory.EXPAND_BASE_BYTES + 1000 * 1000 * allowed
        monkeypatch.setattr(memory, "available_bytes", lambda free=free: free)
        for network in ("borders", "none"):
            refused = run_cli(*arguments, "--method", "transposer", "--transposer", network)
            assert refused.exit_code == code, refused.stderr


def test_a_wide_network_needs_more_memory(cache: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: memory.EXPAND_BASE_BYTES + 1000 * 1000 * 110)
    arguments = ("expand", "wall.png", "--size", "1000x1000", "-n", *PLAIN)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        write_network(place / "wide.safetensors", PaperTransposer.of_width(1 / 8))
    ok(*arguments, "--transposer", "own")
    refused = run_cli(*arguments, "--transposer", "wide.safetensors")
    assert (refused.exit_code, "choose a smaller --size" in refused.stderr) == (7, True), refused.stderr
