"""Training of the network that repairs borders: its losses, exact resume, and the command from end to end."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.cli import names, run_cli
from helpers.transposer_runs import SMALL_BORDERS, make_textures
from torch import Tensor

from texsynth.config.training import BorderSettings
from texsynth.metrics.texture import blurred
from texsynth.models.border_network import REACH, BorderNetwork
from texsynth.models.hub.cache import file_hash
from texsynth.models.transposer_paper import PaperTransposer
from texsynth.models.transposers import load_network
from texsynth.models.weights import header_of, read_weights, write_weights
from texsynth.synthesis.borders import find_borders
from texsynth.training.borders import (
    NETWORK,
    BorderRun,
    draw_layouts,
    nearest_places,
    patch_terms,
    pyramid_term,
    train_borders,
)
from texsynth.training.data import find_pictures, load_pictures
from texsynth.training.loop import Session

TINY = [f"--set={key}={value}" for key, value in SMALL_BORDERS.items()]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=rng(seed))


def soft(image: Tensor) -> Tensor:
    """A blurred picture of the same size."""
    return blurred(F.pad(image, (2,) * 4, mode="reflect"))


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_textures(tmp_path_factory.mktemp("textures"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments: object, code: int = 0) -> str:
    """Run `texsynth train borders` with tiny settings. Returns what it says, both streams."""
    result = run_cli("train", "borders", *arguments, *TINY, "--threads", 1, "--device", "cpu")
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def train(run: BorderRun, *, resume: bool = False, stop_at: int = 0) -> Path:
    def on_step(step: int, _: object) -> None:
        if step == stop_at:
            raise KeyboardInterrupt

    return train_borders(run, Session(torch.device("cpu"), resume, lambda _: None, on_step))


PATCHES = BorderSettings(patches=64)


def test_the_nearest_patch_of_a_piece_is_where_it_was_cut_out() -> None:
    source = noise(3, 48, 48)
    rows, columns = torch.tensor([14, 20]), torch.tensor([12, 17])
    found = nearest_places(source[:, 5:41, 3:43], source, rows, columns)
    assert [x.tolist() for x in found] == [[19, 25], [15, 20]]


def test_a_picture_of_pieces_of_the_exemplar_has_no_fault() -> None:
    exemplar = noise(2, 3, 48, 48)
    patches, sharpness = patch_terms(
        exemplar[..., 6:42, 3:43], exemplar, torch.zeros(2, 1, 36, 40), PATCHES, rng()
    )
    assert patches < 1e-9
    assert sharpness < 1e-5


def test_blur_costs_sharpness() -> None:
    exemplar, near = noise(1, 3, 48, 48), torch.zeros(1, 1, 48, 48)
    once, twice = (
        patch_terms(x, exemplar, near, PATCHES, rng())[1] for x in (soft(exemplar), soft(soft(exemplar)))
    )
    assert 0.1 < once < twice


def test_only_what_the_network_reaches_is_compared() -> None:
    exemplar = noise(1, 3, 64, 120)
    distance = torch.arange(120.0).expand(1, 1, 64, 120)
    faulty = exemplar.clone()
    faulty[..., REACH + 30 :] = 0.5
    assert patch_terms(faulty, exemplar, distance, PATCHES, rng())[0] < 1e-9
    assert patch_terms(faulty, exemplar, 0 * distance, PATCHES, rng())[0] > 0.1
    far = faulty.requires_grad_()
    terms = patch_terms(far, exemplar, distance + 999, PATCHES, rng())
    assert [term.item() for term in terms] == [0, 0]
    assert torch.autograd.grad(terms[0] + terms[1], far)[0].abs().max() == 0


def test_the_distribution_of_patches() -> None:
    """Equal pictures differ by the positions drawn alone; others by far more."""
    plain = torch.full((1, 3, 64, 64), 0.4)
    assert pyramid_term(plain, plain, rng()) == 0
    picture = noise(2, 3, 96, 96)
    same, moved = (pyramid_term(x, picture, rng()) for x in (picture, picture.roll(30, 3)))
    assert moved < 0.02
    assert same < 0.1 * pyramid_term(soft(picture), picture, rng())
    assert same < 0.1 * pyramid_term(picture + 0.3, picture, rng())


def test_layouts_are_made_of_the_exemplar(textures: Path) -> None:
    settings = BorderSettings.model_validate(SMALL_BORDERS)
    pictures = load_pictures(find_pictures(textures, held_out=False), 64)
    drawn = draw_layouts(pictures, settings, rng())
    assert drawn.exemplar.shape == (4, 3, 32, 32)
    assert drawn.truth.shape == (4, 3, 64, 64)
    assert drawn.layout.shape == drawn.other.shape == (4, 2, 48, 48)
    assert 0 <= drawn.layout.min() <= drawn.layout.max() < 32
    for k in range(4):
        again = find_borders(drawn.layout[k : k + 1].long(), REACH)
        assert torch.equal(again.other[0], drawn.other[k].long())
        windows = drawn.truth[k].unfold(1, 32, 1).unfold(2, 32, 1)
        assert (windows == drawn.exemplar[k][:, None, None]).all(-1).all(-1).all(0).any(), "cut out of it"
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            vars(drawn).values(), vars(draw_layouts(pictures, settings, rng())).values(), strict=True
        )
    )
    batch = drawn.draw(settings, rng())
    assert batch.truth.shape == (2, 3, 32, 32)
    assert batch.layout.shape == (2, 2, 32, 32)
    assert batch.exemplar.dtype == batch.layout.dtype == torch.float32
    assert batch.exemplar.max() <= 1


def test_the_command_from_pictures_to_a_result(textures: Path, place: Path) -> None:
    said = command("run", "--data", textures, "--steps", 2, "--seed", 3)
    held_out = len(find_pictures(textures, held_out=True))
    assert f"{24 - held_out} training textures, of which 4 layouts are made" in said
    assert f"texsynth expand --transposer run/{NETWORK} PICTURE" in said
    assert names(place / "run") == ["borders.checkpoint", "borders.csv", NETWORK, "borders.svg"]
    with (place / "run/borders.csv").open() as log:
        rows = list(csv.DictReader(log))
    assert [row["step"] for row in rows] == ["0", "1"]
    assert {"patch", "sharpness", "wasserstein"} <= set(rows[0])
    network = place / "run" / NETWORK
    umask = os.umask(0)
    os.umask(umask)
    assert network.stat().st_mode & 0o777 == 0o666 & ~umask
    header = header_of(network.read_bytes())
    assert list(header) == sorted(header)
    assert list(header["__metadata__"]) == sorted(header["__metadata__"])
    tensors, provenance = read_weights(network)
    assert (provenance["steps"], provenance["seed"], provenance["crop_px"]) == ("2", "3", "32")
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    assert isinstance(load_network(str(network))[0], BorderNetwork)
    fresh = BorderNetwork().state_dict()
    assert {key.removeprefix("borders."): v.shape for key, v in tensors.items()} == {
        key: v.shape for key, v in fresh.items()
    }
    made = run_cli("expand", "--transposer", network, textures / "1.png", "--size", "100x90", "--json")
    assert made.exit_code == 0, made.stderr
    assert json.loads(made.stdout.splitlines()[0])["method"] == "transposer"


def test_a_run_goes_on_from_another(textures: Path, place: Path) -> None:
    """Also with patches at borders alone; a network of the paper is refused before the run is begun."""
    command("first", "--data", textures, "--steps", 1, "--set", "at_borders=1")
    first = place / "first" / NETWORK
    command("next", "--data", textures, "--steps", 1, "--set", "ema=0", "--init", first)
    begun, after = (read_weights(place / name / NETWORK)[0] for name in ("first", "next"))
    moved = max(float((after[key].float() - begun[key].float()).abs().max()) for key in begun)
    assert 0 < moved < 0.01
    assert read_weights(place / "next" / NETWORK)[1]["init"] == file_hash(first)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        write_weights(place / "paper.safetensors", PaperTransposer.of_width(1 / 32, None).state_dict(), {})
    refused = run_cli("train", "borders", "other", "--data", textures, "--init", "paper.safetensors")
    assert (refused.exit_code, "of layout paper, not copies" in refused.stderr) == (6, True), refused.stderr
    assert not (place / "other").exists()


def test_a_killed_run_goes_on_bit_for_bit(textures: Path, place: Path) -> None:
    settings = BorderSettings.model_validate({**SMALL_BORDERS, "steps": 4})
    whole, broken = (BorderRun(textures, place / name, settings) for name in ("whole", "broken"))
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(broken, stop_at=3)
    assert not (broken.folder / NETWORK).exists()
    train(broken, resume=True)
    one, two = (run.folder for run in (whole, broken))
    assert (one / NETWORK).read_bytes() == (two / NETWORK).read_bytes()
    logs = [[line.split(",")[:-1] for line in (run / "borders.csv").open()] for run in (one, two)]
    assert logs[0] == logs[1], "all but the speed"


@pytest.mark.slow
def test_training_lowers_its_loss(textures: Path, place: Path) -> None:
    settings = BorderSettings.model_validate({**SMALL_BORDERS, "steps": 30, "rate": 3e-3, "save_every": 30})
    train(BorderRun(textures, place / "run", settings))
    with (place / "run/borders.csv").open() as file:
        losses = [float(row["patch"]) + float(row["sharpness"]) for row in csv.DictReader(file)]
    assert sum(losses[-8:]) < sum(losses[:8])


def test_a_run_is_not_begun_twice(textures: Path, place: Path) -> None:
    command("run", "--data", textures, "--steps", 1, "-q")
    before = (place / "run" / NETWORK).read_bytes()
    assert "exists; add --resume to go on" in command("run", "--data", textures, "--steps", 1, code=2)
    assert (place / "run" / NETWORK).read_bytes() == before
    said = command("run", "--data", textures, "--steps", 1, "--resume", "--rate", 0.01, code=2)
    assert "was made with rate 0.0015, not 0.01" in said
    assert "no checkpoint" in command("other", "--data", textures, "--resume", code=4)
    assert not (place / "other").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--data", "nowhere"), 4, "nowhere does not exist"),
        (("--data", "."), 4, "no training pictures below ."),
        (("--data", "small"), 4, "both sides of at least 224 pixels"),
        (("--data", ".", "--set", "window_px=512"), 2, "window_px 512 must not exceed 160"),
        (("--data", ".", "--set", "output_px=100"), 2, "output_px"),
        (("--data", ".", "--set", "cropp_px=64"), 2, "crop_px"),
        (("--data", ".", "-p", "photo"), 2, "photo"),
        (("--data", ".", "--device", "cuda:99"), 2, "cuda"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: tuple[str, ...], code: int, words: str, textures: Path, place: Path
) -> None:
    (place / "small").symlink_to(textures)
    result = run_cli("train", "borders", "run", *arguments)
    assert (result.exit_code, words in result.stderr) == (code, True), result.output
    assert "Traceback" not in result.output
    assert len([line for line in result.stderr.splitlines() if not line.startswith("try ")]) == 1
