"""Small pictures and settings for the page of a run."""

from __future__ import annotations

from pathlib import Path

from helpers.cli import make_picture

from texsynth import images
from texsynth.config.settings import RunSettings
from texsynth.jobs.inputs import Input, Job
from texsynth.jobs.report import LEAST_SIDE_PX, Pictures, divided, side_px


def test_the_parts_of_a_record_are_divided() -> None:
    text = (
        "command: stylize\ncontent:\n  path: a.png\nexemplars:\n- path: b\nrun:\n  index: 3\nversions: {}\n"
    )
    own, shared = divided(text)
    assert own == "command: stylize\ncontent:\n  path: a.png\nexemplars:\n- path: b\n"
    assert shared == "run:\n  index: 3\nversions: {}\n"
    assert divided("") == ("", "")
    assert divided("notes") == ("", "notes")


def test_pictures_are_small_and_keep_their_scale(tmp_path: Path) -> None:
    make_picture(tmp_path / "in.png", height=20, width=30)
    make_picture(tmp_path / "out.png", height=40, width=48)
    job = Job(Input(tmp_path / "in.png", ""), tmp_path / "out.png")
    found = Pictures(RunSettings(), 24).of(job)
    assert found is not None
    assert found.content is not None
    assert (found.width, found.height) == (48, 40)
    assert (found.output.width, found.output.height) == (24, 20)
    assert (found.content.width, found.content.height) == (15, 10)
    assert images.read(found.content.jpeg).rgb.shape == (10, 15, 3)
    (tmp_path / "in.png").write_bytes(b"gone bad")
    alone = Pictures(RunSettings(), 24).of(job)
    assert alone is not None
    assert alone.content is None
    (tmp_path / "out.png").unlink()
    assert Pictures(RunSettings(), 24).of(job) is None


def test_a_larger_content_fits_its_frame(tmp_path: Path) -> None:
    make_picture(tmp_path / "in.png", height=40, width=60)
    make_picture(tmp_path / "out.png", height=20, width=30)
    found = Pictures(RunSettings(), 640).of(Job(Input(tmp_path / "in.png", ""), tmp_path / "out.png"))
    assert found is not None
    assert found.content is not None
    assert (found.content.width, found.content.height) == (30, 20)


def test_pictures_are_smaller_on_larger_pages() -> None:
    assert [side_px(jobs) for jobs in (1, 200, 201, 2000, 10_000)] == [640, 640, 320, 320, LEAST_SIDE_PX]
