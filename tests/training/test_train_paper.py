"""Training of the network of paper 004: all four variants, its parts under watch, resuming, DTD."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cli import run_cli
from helpers.nets import WIDTHS, tiny_borders, tiny_tensors
from helpers.transposer_runs import make_features, make_textures, run_of, train
from PIL import Image
from torch import Tensor, nn

from texsynth.config.presets import load, resolve
from texsynth.config.training import TransposerSettings
from texsynth.errors import InputError
from texsynth.images import read
from texsynth.models.registry import load_model
from texsynth.models.transposer_paper import PaperTransposer
from texsynth.models.transposers import load_network
from texsynth.models.weights import prefixed, read_weights, write_exact, write_weights
from texsynth.training import transposer as module
from texsynth.training.frechet import RunningGaussian
from texsynth.training.inspection import Inspection, Watched
from texsynth.training.loop import LoopSettings, rate_factor
from texsynth.training.transposer import NETWORK, TransposerRun, begin_network

VARIANTS = [
    f"transposer-paper-{encoder}-{loss}" for encoder in ("own", "vgg19") for loss in ("gram", "wasserstein")
]
TINY = ("--set", "crop_px=32", "--set", "width=0.05", "--set", "directions=4", "--set", "samples=64",
        "--batch", 2, "--threads", 1, "--device", "cpu")  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache with a tiny network in place of VGG-19; one thread."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("TEXSYNTH_CACHE", str(folder))
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tensors = tiny_tensors(seed=1)
    for key, value in tensors.items():
        if value.ndim == 4:  # torch's own start loses the picture after a few layers
            nn.init.kaiming_normal_(value, generator=torch.Generator().manual_seed(len(key)))
    write_weights(tmp_path / "vgg.safetensors", tensors, {})
    assert run_cli("models", "import", "vgg.safetensors", "--name", "vgg19").exit_code == 0
    yield folder
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_textures(tmp_path_factory.mktemp("textures"))


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_features(tmp_path_factory.mktemp("model"))


def paper_run(textures: Path, features: Path, folder: Path, steps: int = 3, **more: object) -> TransposerRun:
    changes = {"width": 0.05, "crop_px": 32, "optimizer": "adam", "frechet": 0.5, **more}
    return run_of(textures, features, folder, steps, **changes)  # type: ignore[arg-type]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_trained_and_used(name: str, textures: Path, features: Path, tmp_path: Path) -> None:
    """From the preset to a picture, as a user types it."""
    encoder, loss = name.split("-")[2:]
    result = run_cli("train", "transposer", "run", "--data", textures, "-p", name, *TINY, "--steps", 3,
                     *(("--model", features) if encoder == "own" else ()))  # fmt: skip
    assert result.exit_code == 0, result.stderr
    network = tmp_path / "run" / NETWORK
    assert result.stdout == f"run/{NETWORK}\n"
    assert f"texsynth expand --transposer run/{NETWORK} PICTURE" in result.stderr.splitlines()[-1]
    assert set(rows_of(tmp_path / "run/transposer.csv")[0]) == {
        "step", loss, "perceptual", "frechet", "rate", "grad_norm"
    }  # fmt: skip
    (parts,) = rows_of(tmp_path / "run/transposer-parts.csv")
    assert parts["step"] == "3"
    for part in ("encoder", "maps", "filters", "biases", "scale4", "scale8", "scale16", "decode4", "decode1"):
        assert float(parts[f"change {part}"]) > 0.1
        assert parts[f"without {part}"] != parts["loss"]
    assert 0 < float(parts["live decode4"]) <= 26
    assert "after 3 steps the loss is" in result.stderr
    net, _ = load_network(str(network))
    assert isinstance(net, PaperTransposer)
    assert net.own == (encoder == "own")
    header = read_weights(network)[1]
    assert (header["layout"], header["taps"], json.loads(header["settings"])["encoder"]) == (
        "paper", "4 8 16", encoder
    )  # fmt: skip
    expanded = run_cli("expand", "--transposer", network, textures / "1.png", "-o", "more.png")
    assert expanded.exit_code == 0, expanded.stderr
    picture = read(tmp_path / "more.png")
    assert (picture.height, picture.width) == (144, 160), "exactly twice"
    assert picture.rgb.std() > 0


@pytest.mark.parametrize("name", VARIANTS)
def test_the_presets_have_the_recipe_of_the_paper(name: str) -> None:
    settings = resolve(TransposerSettings, load(name), [], {})
    encoder, loss = name.split("-")[2:]
    assert (settings.layout, settings.encoder, settings.width) == ("paper", encoder, 1)
    assert (settings.gram > 0, settings.wasserstein > 0) == (loss == "gram", loss == "wasserstein")
    assert (settings.epochs, settings.batch) == (600, 24 if loss == "gram" else 16)
    assert (settings.kernel_rate, settings.rate, settings.optimizer) == (0.0032, 0.0032, "adam")
    assert settings.critic == 0
    assert settings.frechet > 0
    loop = LoopSettings(600, warmup=0, schedule=settings.schedule)
    rates = [0.0032 * rate_factor(epoch, loop) for epoch in (0, 149, 150, 299, 300, 450, 599)]
    assert rates == pytest.approx([3.2e-3, 3.2e-3, 3.2e-4, 3.2e-4, 3.2e-5, 3.2e-6, 3.2e-6])


def test_the_length_follows_from_the_epochs(textures: Path, features: Path, tmp_path: Path) -> None:
    result = run_cli("train", "transposer", "run", "--data", textures, "-p", VARIANTS[0], *TINY,
                     "--model", features, "--set", "epochs=0.25", "-q")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    pictures = int(read_weights(tmp_path / "run" / NETWORK)[1]["pictures"])
    assert len(rows_of(tmp_path / "run/transposer.csv")) == -(-pictures // 8)


def test_a_killed_run_goes_on_bit_for_bit(textures: Path, features: Path, tmp_path: Path) -> None:
    """With the critic and the statistics of the targets, which a checkpoint holds too."""
    whole, broken = (paper_run(textures, features, tmp_path / n, 4, critic=0.1) for n in ("whole", "broken"))
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(broken, stop_at=3)
    train(broken, resume=True)
    for name in (NETWORK, "transposer.csv", "transposer-parts.csv"):
        assert (whole.folder / name).read_bytes() == (broken.folder / name).read_bytes(), name
    states = [torch.load(r.folder / "transposer.checkpoint", weights_only=True) for r in (whole, broken)]
    (one, two) = (state["critic_state"]["1"] for state in states)
    assert torch.equal(one["second"], two["second"])
    assert len(rows_of(whole.folder / "transposer-parts.csv")) == 4


def test_running_statistics_follow_the_targets() -> None:
    running, rng = RunningGaussian.of_channels(3), torch.Generator().manual_seed(0)
    first = torch.randn(4000, 3, generator=rng) * torch.tensor([1.0, 2, 3]) + 5
    running.update(first)
    mean, covariance = running.moments()
    torch.testing.assert_close(mean, first.double().mean(0))
    torch.testing.assert_close(covariance, first.T.double().cov(correction=0))
    for _ in range(700):
        running.update(first - 7)
    torch.testing.assert_close(running.moments()[0], mean - 7, atol=0.02, rtol=0)


class Dying(module.Losses):
    """Kills a part of the network at the second step."""

    calls = 0

    def __call__(
        self, target: Tensor, rng: torch.Generator, *, learn: bool = True
    ) -> tuple[Tensor, dict[str, Tensor]]:
        type(self).calls += learn
        if learn and type(self).calls == 2:
            norm = self.net.get_submodule("decode3.norm")
            assert isinstance(norm, nn.BatchNorm2d)
            norm.weight.data.zero_()
            norm.bias.data.fill_(-9.0)
        return super().__call__(target, rng, learn=learn)


def test_a_dead_part_stops_the_training(
    textures: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Losses", Dying)
    monkeypatch.setattr(Dying, "calls", 0)
    with pytest.raises(InputError, match=r"decode3 no longer changes the picture after 2 steps; begin"):
        train(paper_run(textures, features, tmp_path / "run", 4))
    assert not (tmp_path / "run" / NETWORK).exists()
    assert [row["live decode3"] for row in rows_of(tmp_path / "run/transposer-parts.csv")][-1] == "0"


class Poisoned(module.Losses):
    """Never finite, from the features on."""

    def __call__(
        self, target: Tensor, rng: torch.Generator, *, learn: bool = True
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return super().__call__(target * torch.nan, rng, learn=learn)


def test_a_training_that_is_never_finite_gives_up(
    textures: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Losses", Poisoned)
    with pytest.raises(InputError, match=r"the loss was not finite 6 times, last at step 0; lower"):
        train(paper_run(textures, features, tmp_path / "run", 4))
    state = torch.load(tmp_path / "run/transposer.checkpoint", weights_only=True)
    assert all(value.isfinite().all() for value in state["module"].values()), "running statistics too"
    assert not (tmp_path / "run" / NETWORK).exists()


def test_training_in_bfloat16(textures: Path, features: Path, tmp_path: Path) -> None:
    run = paper_run(textures, features, tmp_path)
    net = begin_network(run.settings, run.features, run.seed, None)
    judge = load_model(str(features)).vgg()
    losses = module.Losses(net, judge, None, run.settings, RunningGaussian.of_channels(WIDTHS[3]))
    batch = module.inspected_batch(run, [])
    with torch.autocast("cpu", torch.bfloat16):
        _, terms = losses(batch, torch.Generator().manual_seed(0))
    sum(terms.values(), torch.zeros(())).backward()
    assert set(terms) == {"wasserstein", "perceptual", "frechet"}
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.trained())


def test_the_encoder_of_the_losses_and_a_comparison(textures: Path, tmp_path: Path) -> None:
    """`lite` takes the frozen encoder of --model, and `compare` takes the result."""
    features = tmp_path / "vgg.safetensors"
    run = paper_run(textures, features, tmp_path / "lite", encoder="lite", critic=0.1)
    train(run)
    state, before = read_weights(run.folder / NETWORK)[0], read_weights(features)[0]
    own = [key for key in state if key.startswith("encoder.pretrained.")]
    assert own
    assert all(torch.equal(state[k], before[k.replace("pretrained.", "")].float()) for k in own)
    result = run_cli("train", "compare", "lite", "--data", textures, "--side", 32, "--json", "-q")
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["name"] for row in rows] == ["quilting", "copies", "untrained", "lite"]
    assert rows[-1]["encoder"] == "lite"


def test_inspection_counts_and_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """Of two channels one is constant; the other makes the picture."""
    conv = nn.Conv2d(1, 2, 1)
    conv.weight.data = torch.tensor([1.0, 0]).view(2, 1, 1, 1)

    class Net(nn.Sequential):
        def watched(self) -> list[Watched]:
            return [("encoder", [conv], True)]

    net = Net(conv)
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def look() -> tuple[Tensor, dict[str, Tensor]]:
        picture = net(x)
        return picture, {"error": (picture - x).square().mean()}

    said: list[str] = []
    Inspection(net, look, tmp_path / "parts.csv", 10, said.append)(10)
    (row,) = rows_of(tmp_path / "parts.csv")
    assert (row["live encoder"], net.training) == ("1", True)
    deviation = (x - x.mean()).abs().mean() / 2 * 255
    assert float(row["change encoder"]) == pytest.approx(float(deviation), rel=1e-3)
    assert "encoder +" in said[0]
    assert "(1/2 live)" in said[0]
    assert not conv._forward_hooks
    conv.weight.data.zero_()
    with pytest.raises(InputError, match="encoder no longer changes the picture after 20 steps"):
        Inspection(net, look, tmp_path / "parts.csv", 10, said.append)(20)
    assert [row["step"] for row in rows_of(tmp_path / "parts.csv")] == ["10", "20"], "a row for each"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--data", "."), 4, "no training pictures below ."),
        (("--data", "nowhere"), 4, "nowhere does not exist"),
        ((), 2, "one of --data FOLDER and --dtd FOLDER"),
        (("--data", ".", "--dtd", "."), 2, "one of --data FOLDER and --dtd FOLDER"),
        (("--data", ".", "--set", "layout=copies"), 2, "layout"),
        (("--data", ".", "--model", "vgg18"), 2, "unknown model 'vgg18'; did you mean 'vgg19'?"),
        (("--data", ".", "--set", "width=0"), 2, "width"),
    ],
)
def test_mistakes_are_one_sentence(arguments: tuple[str, ...], code: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "vgg.safetensors").unlink()
    result = run_cli("train", "transposer", "run", "-p", VARIANTS[0], *TINY, *arguments)
    assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
    assert not (tmp_path / "run").exists()


def test_a_network_that_does_not_fit_is_refused(textures: Path, features: Path, tmp_path: Path) -> None:
    """Another layout, encoder or width to go on from; a checkpoint of another layout; no VGG-19."""
    train(paper_run(textures, features, tmp_path / "own"))
    write_exact(tmp_path / "copies.safetensors", prefixed("borders", tiny_borders().state_dict()), {})

    def refusal(folder: str, *arguments: object) -> tuple[int, str]:
        result = run_cli("train", "transposer", folder, "--data", textures, "--model", features, *TINY,
                         "--steps", 1, *arguments)  # fmt: skip
        return result.exit_code, result.stderr.splitlines()[-1]

    paper, own, copies = ("-p", VARIANTS[0]), tmp_path / "own" / NETWORK, tmp_path / "copies.safetensors"
    for folder, arguments, code, words in (
        ("next", (*paper, "--init", copies), 6, "is of layout copies, not paper"),
        ("next", (*paper, "--set", "width=0.1", "--init", own), 6, "has not encoder own and width 0.1"),
        ("next", ("-p", VARIANTS[2], "--init", own), 6, "has not encoder vgg19 and width 0.05"),
        ("own", (*paper, "--resume", "--set", "width=0.1"), 2, "was made with width 0.05, not 0.1"),
    ):
        found, sentence = refusal(folder, *arguments)
        assert (found, words in sentence) == (code, True), sentence
    assert not (tmp_path / "next").exists()
    assert run_cli("models", "remove", "vgg19").exit_code == 0
    code, sentence = refusal("next", "-p", VARIANTS[2])
    assert (code, "texsynth models fetch vgg19" in sentence) == (6, True)
    assert run_cli("train", "transposer", "next", "--data", textures, "--model", features, *TINY, *paper,
                   "--init", own, "--steps", 1).exit_code == 0  # fmt: skip


def make_dtd(root: Path) -> Path:
    """A data set of the form of DTD with six pictures."""
    base, generator = root / "dtd" / "dtd", np.random.default_rng(0)
    names = [f"banded/banded_{k:04}.jpg" for k in range(6)]
    for folder in ("images/banded", "labels", "imdb"):
        (base / folder).mkdir(parents=True)
    for name in names:
        pixels = generator.integers(0, 255, (80, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(base / "images" / name)
    for split, own in (("train", names[:3]), ("val", names[3:5]), ("test", names[5:])):
        (base / f"labels/{split}1.txt").write_text("\n".join(own) + "\n")
    return root


def test_dtd_is_read_by_torchvision(features: Path, tmp_path: Path) -> None:
    try:
        import torchvision.datasets  # noqa: F401
    except Exception as error:  # also of a torchvision for another torch
        pytest.skip(f"torchvision cannot be imported: {error}")
    arguments = ("train", "transposer", "run", *TINY, "-p", VARIANTS[0], "--model", features,
                 "--set", "epochs=2", "--dtd")  # fmt: skip
    result = run_cli(*arguments, make_dtd(tmp_path / "data"))
    assert result.exit_code == 0, result.stderr
    assert "3 training pictures\n" in result.stderr
    assert len(rows_of(tmp_path / "run/transposer.csv")) == 3, "two passes over three pictures in pairs"
    (tmp_path / "empty").mkdir()
    result = run_cli(*arguments, "empty")
    assert result.exit_code == 4
    assert "empty has no whole DTD" in result.stderr


def test_dtd_without_torchvision(features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    result = run_cli("train", "transposer", "run", "--dtd", tmp_path, "-p", VARIANTS[0])
    assert result.exit_code == 2
    assert "--dtd needs torchvision, which cannot be imported" in result.stderr
    assert not (tmp_path / "run").exists()
