"""Frames of a take: their order, their fits, and how they are handed out to workers."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from helpers.nets import tiny_model, waves

from texsynth.cli.run import shard_of
from texsynth.config.settings import DescentSettings, StylizeSettings
from texsynth.errors import UsageError
from texsynth.jobs.frames import SAMPLES, FrameJob, as_take, natural_key, tweens
from texsynth.jobs.inputs import Input, Job
from texsynth.jobs.job_queue import JobQueue
from texsynth.pipelines.rasters import TensorRaster, read_all
from texsynth.pipelines.stylize import StyledRegion, fit_style, stylize, stylize_raster
from texsynth.pipelines.take import Frame, averaged, between, measure
from texsynth.transforms.moments import Moments


def frames(count: int) -> list[Input]:
    return [Input(Path(f"{k}.png"), f"{k}.png") for k in range(count)]


def numbers(inputs: tuple[Input, ...]) -> list[int]:
    return [int(item.path.stem) for item in inputs]


def test_names_sort_by_their_numbers() -> None:
    names = ["b2", "a10", "a2", "a02", "a", "a2b", "10", "9"]
    assert sorted(names, key=natural_key) == ["9", "10", "a", "a02", "a2", "a2b", "a10", "b2"]


@pytest.mark.parametrize("count", [1, 2, 7, 13, 48, 49, 50, 1000])
@pytest.mark.parametrize("window", [1, 5, 24, 5000])
def test_every_frame_is_between_neighbouring_fits(count: int, window: int) -> None:
    places = tweens(frames(count), window)
    assert len(places) == count
    fits = list(dict.fromkeys(place.before for place in places))
    assert len(fits) <= count / window + 2
    for place, after in itertools.pairwise(places):
        assert 0 <= place.share < 1
        assert bool(place.after) == (place.share > 0)
        if after.before == place.before:
            assert after.share >= place.share
        elif place.after:
            assert after.before == place.after
    for fit in fits:
        used = numbers(fit)
        assert 1 <= len(used) <= SAMPLES
        assert used == sorted(set(used))
        assert max(used) - min(used) <= max(1.6 * window, count if len(fits) == 1 else 0)


def test_frames_are_measured_as_if_they_were_one_picture() -> None:
    one, two = Moments.of(waves(8, 10)), Moments.of(waves(8, 10, 1.0))
    both = averaged([one, two])
    assert torch.allclose(both.mean, (one + two).mean)
    assert torch.allclose(both.covariance, (one + two).covariance)
    same = averaged([one] * 7)
    assert same.n == one.n
    assert torch.equal(same.outer, one.outer)


def test_statistics_fade_linearly() -> None:
    one, two = Moments.of(waves(8, 10)), Moments.of(waves(8, 10, 1.0))
    ((half,),) = (list(each.values()) for each in between([{1: one}], [{1: two}], 0.25))
    assert torch.allclose(half.mean, torch.lerp(one.mean, two.mean, 0.25))
    assert torch.allclose(half.covariance, torch.lerp(one.covariance, two.covariance, 0.25))


@pytest.mark.parametrize("mode", ["artistic", "photo"])
@pytest.mark.parametrize("tile", [None, 32])
def test_statistics_of_one_frame_give_its_own_result(mode: str, tile: int | None) -> None:
    model = tiny_model(torch.float64)
    settings = StylizeSettings.model_validate({"mode": mode})
    style, content = fit_style(waves(50, 30, 1.0), model, settings), waves(70, 56)
    regions = [StyledRegion((style,), (1.0,))]
    moments = measure([Frame(TensorRaster(content), regions)] * 3, model, settings, seed=5, tile=tile)
    (halfway,) = between(moments, moments, 0.3)
    assert all(torch.equal(halfway[level].outer, moments[0][level].outer) for level in settings.levels)
    ours = read_all(
        stylize_raster(TensorRaster(content), regions, model, settings, seed=5, tile=tile, moments=[halfway])
    )
    alone = stylize(content, style, model, settings, seed=5)
    assert torch.allclose(ours, alone, atol=0 if tile is None else 1e-6)


def test_descent_has_no_statistics() -> None:
    settings = StylizeSettings(transform=DescentSettings())
    with pytest.raises(UsageError, match="optimize"):
        measure([Frame(TensorRaster(waves(8, 8)), [])], tiny_model(), settings)


def jobs(count: int) -> list[FrameJob]:
    return as_take([FrameJob(item, Path("out.png")) for item in frames(count)], 10)


def test_shards_are_stretches_of_a_take() -> None:
    parts = [shard_of(jobs(41), f"{k}/3") for k in (1, 2, 3)]
    assert [len(part) for part in parts] == [13, 14, 14]
    assert [job for part in parts for job in part] == jobs(41)


def test_a_worker_stays_with_its_stretch_of_a_take() -> None:
    queue = JobQueue(jobs(41))
    # In turn, as they are ready.
    turns = [[queue.take(worker) for worker in (1, 2, 3)] for _ in range(10)]
    assert list(zip(*turns, strict=True)) == [tuple(range(k, k + 10)) for k in (0, 10, 20)]
    assert queue.take(1) == 30, "a new stretch"
    # Nothing is left but what another has begun, and the last frame on its own.
    assert sorted(queue.take(2) for _ in range(10)) == list(range(31, 41))
    assert not queue


def test_other_jobs_come_in_their_order() -> None:
    queue = JobQueue([Job(item, Path("out.png")) for item in frames(5)])
    assert [queue.take(number % 2) for number in range(5)] == [0, 1, 2, 3, 4]
