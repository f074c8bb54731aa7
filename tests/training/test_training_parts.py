"""Parts of the training loop: crops by number, workers, averages, loss scaling, plots."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from helpers.decoder_runs import make_pictures
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from texsynth.errors import InputError, WorkerLostError
from texsynth.training.checkpoint import Learner, running_average
from texsynth.training.data import BatchLoader, Crops, Pictures
from texsynth.training.log import plot
from texsynth.training.loop import LoopSettings, Session, rate_factor, run
from texsynth.training.optimizer import Optimizer


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures, the last of which is broken."""
    folder = make_pictures(tmp_path_factory.mktemp("pictures"), broken=True)
    return sorted(folder.iterdir(), key=lambda path: (path.name == "broken.png", path.name))


def batches(crops: Crops, workers: int, count: int, said: list[str]) -> list[Tensor]:
    with closing(BatchLoader(crops, 3, workers, said.append)) as loader:
        return [loader.next() for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("resize_px", [None, 40])
def test_crops_are_the_same_with_and_without_workers_and_memory(
    files: list[Path], resize_px: int | None
) -> None:
    said: list[str] = []
    kept, fresh = (Crops(Pictures(files, resize_px, room), 32, (5, 1)) for room in (1 << 20, 0))
    first, *others = batches(kept, 0, 10, said), batches(fresh, 0, 10, []), batches(fresh, 2, 10, said)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert len(said) == 2, "one note each of the broken picture"
    assert all("broken.png cannot be read" in line for line in said)
    assert not any(torch.equal(a, b) for a, b in pairwise(first))
    differs = Crops(Pictures(files, resize_px), 32, (6, 1))
    assert not torch.equal(batches(differs, 0, 1, [])[0], first[0])


def test_a_loader_goes_on_where_another_stopped(files: list[Path]) -> None:
    crops = Crops(Pictures(files), 32, (0,))
    with closing(BatchLoader(crops, 2, 0, lambda _: None)) as loader:
        for _ in range(3):
            loader.next()
        state, after = loader.state_dict(), loader.next()
    with closing(BatchLoader(crops, 2, 0, lambda _: None)) as loader:
        loader.load_state_dict(state)
        assert torch.equal(loader.next(), after)


def test_an_epoch_has_every_picture_once(tmp_path: Path) -> None:
    from PIL import Image

    for k in range(7):
        Image.fromarray(np.full((20, 20, 3), 10 * k, "u1")).save(tmp_path / f"{k}.png")
    crops = Crops(Pictures(sorted(tmp_path.iterdir())), 16, (0,))
    epochs = [[int(crops[7 * e + k][0][0, 0, 0]) for k in range(7)] for e in range(3)]
    assert all(sorted(shades) == [0, 10, 20, 30, 40, 50, 60] for shades in epochs)
    assert epochs[0] != epochs[1], "in an order of its own"


def test_pictures_that_are_too_small_are_left_out(files: list[Path], tmp_path: Path) -> None:
    from PIL import Image

    small = tmp_path / "small.png"
    Image.fromarray(np.zeros((20, 90, 3), "u1")).save(small)
    crops = Crops(Pictures([small, files[0]]), 32, (0,))
    assert all(crops[k][0].any() for k in range(6))
    with pytest.raises(InputError, match="none of 1 pictures"):
        BatchLoader(Crops(Pictures([small]), 32, (0,)), 2, 2, lambda _: None)
    held = Pictures([small, *files]).held_out_crops(40, 16)
    assert held.shape[1:] == (3, 40, 40)
    assert 10 < len(held) <= 16


def test_a_killed_worker_is_one_sentence_and_no_worker_stays(files: list[Path]) -> None:
    with closing(BatchLoader(Crops(Pictures(files), 32, (0,)), 2, 2, lambda _: None)) as loader:
        loader.next()
        victims = multiprocessing.active_children()
        assert len(victims) == 2
        for victim in victims:
            assert victim.pid
            os.kill(victim.pid, signal.SIGKILL)
        with pytest.raises(WorkerLostError, match="was killed"):
            list(iter(loader.next, None))
    assert not multiprocessing.active_children()


def small_module(value: float = 0.0) -> nn.Module:
    module = nn.Conv2d(2, 3, 1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.no_grad():
        for p in module.parameters():
            p.fill_(value)
    assert isinstance(module, nn.Module)
    return module


def test_the_average_has_a_closed_form() -> None:
    module = small_module(1.0)
    average = running_average(module, 0.5)
    remaining = 1.0
    for t in range(12):
        with torch.no_grad():
            for p in module.parameters():
                p.fill_(3.0)
        average.update_parameters(module)
        remaining *= min(0.5, (1 + t) / (10 + t))
        for p in average.module.parameters():
            torch.testing.assert_close(p, torch.full_like(p, 3 - 2 * remaining))
    again = running_average(small_module(), 0.5)
    again.load_state_dict(average.state_dict())
    average.update_parameters(module)
    again.update_parameters(module)
    assert all(
        torch.equal(a, b) for a, b in zip(average.module.parameters(), again.module.parameters(), strict=True)
    )


def test_rates_may_stay_and_need_not_warm_up() -> None:
    assert {rate_factor(k, LoopSettings(10, warmup=0, schedule="constant")) for k in range(10)} == {1.0}
    assert rate_factor(0, LoopSettings(10, warmup=4, schedule="constant")) == 0.25


def test_adam_is_that_of_torch() -> None:
    ours, theirs = small_module(1.0), small_module(1.0)
    mine = Optimizer(ours.parameters(), 1e-2, 1e-2, "adam")
    other = torch.optim.Adam(theirs.parameters(), 1e-2)
    image = torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        for module, optimizer in ((ours, mine), (theirs, other)):
            optimizer.zero_grad()
            module(image).square().sum().backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def learn(
    folder: Path,
    loss: Callable[[nn.Module], Tensor],
    *,
    scaler: GradScaler | None = None,
    steps: int = 6,
    optimizer: type[Optimizer] = Optimizer,
) -> tuple[Learner, list[str]]:
    module, said = small_module(1.0), list[str]()
    learner = Learner(
        module,
        optimizer(module.parameters(), 1e-2, 1e-2),
        torch.Generator(),
        average=running_average(module, 0.9),
        scaler=scaler,
    )
    run(
        learner,
        lambda _: {"error": loss(module)},
        LoopSettings(steps, save_every=1, precision="float32"),
        folder / "net.checkpoint",
        Session(torch.device("cpu"), report=said.append),
    )
    return learner, said


def squares(module: nn.Module) -> Tensor:
    return torch.stack([p.square().sum() for p in module.parameters()]).sum()


def test_gradients_beyond_float16_cost_a_step_and_no_rescue(tmp_path: Path) -> None:
    """Gradients of 8 need three halvings of the scale to be below 2 ** 128; the other steps count."""
    scaler = GradScaler("cpu", init_scale=2.0**127)
    learner, said = learn(tmp_path, lambda module: 4 * squares(module), scaler=scaler)
    assert not said
    assert scaler.get_scale() == 2.0**124
    assert learner.average
    assert learner.average.n_averaged == 4
    assert learner.is_finite()
    rows = (tmp_path / "net.csv").read_text().splitlines()
    assert len(rows) == 7
    assert "inf" in rows[1]
    assert "inf" not in rows[-1]
    ElementTree.fromstring((tmp_path / "net.svg").read_text())


def test_scaled_gradients_are_those_without_scaling(tmp_path: Path) -> None:
    for name in ("plain", "scaled"):
        (tmp_path / name).mkdir()
    plain, _ = learn(tmp_path / "plain", squares)
    scaled, _ = learn(tmp_path / "scaled", squares, scaler=GradScaler("cpu"))
    for a, b in zip(plain.result.parameters(), scaled.result.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_loss_that_is_no_number_is_a_failure_with_scaling_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the loss was not finite 6 times"):
        learn(tmp_path, lambda module: squares(module) * math.nan, scaler=GradScaler("cpu"))
    no_gradient = GradScaler("cpu", init_scale=0.5)
    with pytest.raises(InputError, match="the loss was not finite 6 times"):
        learn(tmp_path, lambda module: (squares(module) - 9).sqrt(), scaler=no_gradient)


class Bursting(Optimizer):
    """Makes a weight infinite in its third step."""

    done = 0

    def step(self) -> None:
        super().step()
        type(self).done += 1
        if type(self).done == 3:
            self.parts[1].param_groups[0]["params"][0].data.fill_(math.inf)


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    learner, said = learn(tmp_path, squares, optimizer=Bursting)
    assert said == ["a weight was not finite at step 2; back to the state after step 2"]
    assert learner.is_finite()
    assert learner.average
    assert learner.average.n_averaged == 7


SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("count", [0, 1, 3, 5000])
def test_a_plot_has_one_line_for_every_column(count: int) -> None:
    odd = {3: "nan", 4: "", 5: "inf", 6: "x", 7: "-1"}
    rows = [
        {
            "step": str(k),
            "a<b": odd.get(k, f"{1 / (k + 1)}"),
            "cycle": "nan",
            "psnr": "" if k % 9 else "20",
            "rate": "0",
        }
        for k in range(count)
    ]
    root = ElementTree.fromstring(plot(rows, "R & D"))
    lines = root.findall(f"{SVG}polyline")
    assert len(lines) == (4 if count else 0)
    for line in lines:
        places = [tuple(map(float, place.split(","))) for place in line.attrib["points"].split()]
        assert all(math.isfinite(x + y) for x, y in places)
        assert len(places) <= 600
        assert [x for x, _ in places] == sorted(x for x, _ in places)
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert "R & D" in words
    assert ("a<b" in words) == bool(count)


def test_a_falling_loss_is_a_falling_line_on_a_logarithmic_axis() -> None:
    rows = [{"step": str(k), "loss": str(10.0**-k)} for k in range(4)]
    line = ElementTree.fromstring(plot(rows, "log")).find(f"{SVG}polyline")
    assert line is not None
    heights = [float(place.split(",")[1]) for place in line.attrib["points"].split()]
    falls = np.diff(heights)
    assert (falls > 0).all()
    np.testing.assert_allclose(falls, falls[0], atol=0.11)
