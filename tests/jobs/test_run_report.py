"""The page of a run, `--report`, through the command line with a random model."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from helpers.cli import make_picture, names, run_cli
from typer.testing import Result

import texsynth
from texsynth import images
from texsynth.config.settings import RunSettings
from texsynth.jobs import report as run_report
from texsynth.jobs import stylize as stylize_jobs
from texsynth.jobs.blend_inputs import StyledJob
from texsynth.jobs.contents import PreparedContent, prepare_content
from texsynth.jobs.inputs import Input, Job
from texsynth.jobs.outcomes import Done, Report, WrittenInfo

ODD = '<b>&".png'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two contents, one with markup in its name, and a style."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    make_picture(tmp_path / "photos" / "cat.png", seed=1)
    make_picture(tmp_path / "photos" / ODD, seed=2, height=30)
    make_picture(tmp_path / "wave.png", seed=4, height=30, width=28)
    return tmp_path


def stylize(model: Path, *arguments: object, contents: str = "photos", data: bytes | None = None) -> Result:
    return run_cli(
        "stylize", contents, "wave.png", "--model", model, "--report", "run.html", *arguments, data=data
    )


class Page(HTMLParser):
    """What tests look at in a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, key: str) -> list[str]:
        """The attribute `key` of all tags that have it."""
        return [value for name, found in self.tags if name == tag and (value := found.get(key)) is not None]

    @property
    def totals(self) -> dict[str, str]:
        """Done, skipped, failed, seconds, and pictures per second."""
        head = self.text.partition("Names with")[0].partition("Settings")[0]
        found = re.findall(r"(done|skipped|failed|seconds|pictures per second)([\d.]+)", head)
        return dict(found)


def test_every_result_is_shown_beside_its_content(place: Path, model: Path) -> None:
    result = stylize(model, "-o", "out/")
    assert result.exit_code == 0, result.stderr
    assert sorted(result.stdout.splitlines()) == ['out/<b>&".wave.png', "out/cat.wave.png"]
    assert "texsynth: report: run.html\n" in result.stderr
    page = Page(place / "run.html")
    assert page.totals["done"] == "2"
    assert float(page.totals["seconds"]) >= 0
    assert page.totals["failed"] == page.totals["skipped"] == "0"
    assert len(page.all("img", "src")) == 6, "contents, outputs and the style of each"
    assert page.all("input", "type").count("range") == 2
    sliders = [found["id"] for tag, found in page.tags if tag == "input" and found["type"] == "range"]
    assert set(sliders) <= set(page.all("label", "for"))
    assert set(page.all("img", "alt")) == {
        f"content photos/{ODD}", "content photos/cat.png",
        "output out/cat.wave.png", 'output out/<b>&".wave.png', "wave",
    }  # fmt: skip
    assert "41 × 33 px" in page.text
    assert f"texsynth {texsynth.__version__}" in page.text
    assert f"texsynth stylize photos wave.png --model {model} --report run.html -o out/" in page.text


def test_links_lead_from_the_page_to_the_results(place: Path, model: Path) -> None:
    assert stylize(model, "-o", "out/", "--report", "pages/#1/run.html").exit_code == 0
    folder = place / "pages" / "#1"
    links = [link for link in Page(folder / "run.html").all("a", "href") if not link.startswith("#")]
    assert len(links) == 2
    assert all((folder / unquote(link)).is_file() for link in links)
    assert not any(mark in link for link in links for mark in '<>"#')


def test_nothing_is_loaded_and_names_are_text(place: Path, model: Path) -> None:
    (place / "a<").mkdir()
    make_picture(place / "a<" / "script>.png", seed=1)
    make_picture(place / "photos" / os.fsdecode(b"\xff.png"), seed=3)
    flags = ["--model", model, "--report", "run.html", "-o", "out/"]
    assert run_cli("stylize", "photos", "a<", "wave.png", *flags).exit_code == 0
    text = (place / "run.html").read_text()
    page = Page(place / "run.html")
    assert re.search("https?:", text) is None
    tags = [tag for tag, _ in page.tags]
    assert "b" not in tags
    assert tags.count("script") == text.count("</script>") == 1
    addresses = [value for tag in set(tags) for key in ("src", "href") for value in page.all(tag, key)]
    assert all(value.startswith(("data:", "#", "out/")) for value in addresses)
    links = [value for value in addresses if value.startswith("out/")]
    assert sorted(links) == [
        "out/%3Cb%3E%26%22.wave.png", "out/%FF.wave.png", "out/cat.wave.png", "out/script%3E.wave.png"
    ]  # fmt: skip
    assert {"content a</script>.png", f"content photos/{ODD}"} <= set(page.all("img", "alt"))
    assert "photos/\ufffd.png" in page.text


def test_settings_are_there_once(place: Path, model: Path) -> None:
    for number in range(5):
        make_picture(place / "photos" / f"{number}.png", seed=number)
    assert stylize(model, "-o", "out/", "--seed", 7).exit_code == 0
    page = Page(place / "run.html")
    assert page.text.count("preserve_color: false") == 1
    assert page.text.count("seed: 7") == 1
    assert page.text.count("block 1") == 7
    assert "Block 1, of 7 pictures" in page.text
    assert page.all("a", "href").count("#s1") == 7
    assert page.all("pre", "id") == ["s1"]
    assert page.text.count("model_sha256: ") == 1


def test_settings_that_differ_are_blocks_of_their_own(place: Path, model: Path) -> None:
    (place / "jobs.yaml").write_text(
        "output: out\nname: '{content}.{preset}.jpg'\n"
        "jobs: [{contents: photos, styles: wave.png, presets: [gentle, bold]}]"
    )
    assert run_cli("batch", "jobs.yaml", "--model", model, "--report", "run.html").exit_code == 0
    page = Page(place / "run.html")
    assert page.text.count("preserve_color: false") == 2
    assert page.all("pre", "id") == ["s1", "s2"]
    assert sorted(page.all("a", "href"))[:4] == ["#s1", "#s1", "#s2", "#s2"]
    assert re.search(r"preset\s*gentle", page.text)


def test_failures_say_why(place: Path, model: Path) -> None:
    (place / "photos" / "broken.png").write_bytes(b"no picture")
    result = stylize(model, "-o", "out/")
    assert result.exit_code == 3
    page = Page(place / "run.html")
    assert (page.totals["done"], page.totals["failed"]) == ("2", "1")
    assert "broken.png is not a picture that can be read" in page.text
    assert "failed, exit code 4" in page.text
    assert page.all("article", "data-state").count("failed") == 1


def test_a_run_in_which_everything_fails_has_a_page(place: Path, model: Path) -> None:
    (place / "broken.png").write_bytes(b"no picture")
    result = stylize(model, "-o", "out/", contents="broken.png")
    assert result.exit_code == 4
    page = Page(place / "run.html")
    assert page.totals["failed"] == "1"
    assert page.all("img", "src") == []


def test_a_bug_is_called_one(place: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **flags: object) -> PreparedContent:
        raise TypeError("no <such> thing")

    monkeypatch.setattr(stylize_jobs, "prepare_content", broken)
    assert stylize(model, "-o", "out/").exit_code == 1
    text = (place / "run.html").read_text()
    assert text.count("This is a bug in texsynth: TypeError: no &lt;such&gt; thing") == 2


def test_warnings_are_shown(place: Path, model: Path) -> None:
    rgb = images.read(place / "wave.png").rgb
    alpha = rgb[..., 0].copy()
    images.write(images.Picture(rgb, alpha), place / "soft.png")
    assert stylize(model, "-o", "soft.jpg", contents="soft.png").exit_code == 0
    assert "Warning: JPEG cannot hold alpha" in Page(place / "run.html").text


def batch(model: Path, *arguments: object) -> Result:
    return run_cli("batch", "jobs.yaml", "--model", model, "--report", "run.html", *arguments)


def test_skipped_results_are_shown_and_a_page_of_before_gives_way(place: Path, model: Path) -> None:
    (place / "jobs.yaml").write_text("output: out\njobs: [{contents: photos, styles: wave.png}]")
    assert batch(model).exit_code == 0
    assert batch(model, "--resume").exit_code == 0, "a run that goes on replaces its own page"
    page = Page(place / "run.html")
    assert (page.totals["done"], page.totals["skipped"]) == ("0", "2")
    assert len(page.all("img", "src")) == 6
    assert "41 × 33 px" in page.text
    assert "skipped, it was there already" in page.text
    (place / "run.html").write_text("notes")
    result = batch(model, "--resume")
    assert (result.exit_code, result.stderr.count("run.html exists already; use --force")) == (5, 1)
    assert (place / "run.html").read_text() == "notes"
    assert batch(model, "--resume", "--force").exit_code == 0


def test_an_interrupted_run_has_a_page(place: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(job: StyledJob, *arguments: Any, **flags: Any) -> PreparedContent:  # noqa: ANN401
        if job.output.name == "cat.wave.png":
            raise KeyboardInterrupt
        return prepare_content(job, *arguments, **flags)

    monkeypatch.setattr(stylize_jobs, "prepare_content", interrupted)
    (place / "jobs.yaml").write_text("output: out\njobs: [{contents: photos, styles: wave.png}]")
    assert batch(model).exit_code == 130
    page = Page(place / "run.html")
    assert page.totals["done"] == "1"
    assert "Interrupted: 1 of 2 jobs were not finished." in page.text


def test_an_existing_page_is_found_before_the_work(place: Path, model: Path) -> None:
    (place / "run.html").write_text("mine")
    result = stylize(model, "-o", "out/")
    assert result.exit_code == 5
    assert "run.html exists already; use --force to replace it" in result.stderr
    assert not (place / "out").exists()
    assert (place / "run.html").read_text() == "mine"
    assert stylize(model, "-o", "out/", "-f").exit_code == 0
    assert Page(place / "run.html").totals["done"] == "2"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--report", "page.htm"], "--report is 'page.htm' but must be the name of a page, like report.html"),
        (["--report", "-"], "--report is '-' but must be"),
        (["-o", "run.html/"], "--report run.html is also the folder of results; choose another name"),
        (
            ["photos/cat.html", "--report", "photos/cat.html"],
            "the output photos/cat.html is also an input; choose",
        ),
    ],
)
def test_what_cannot_be_is_found_before_the_work(
    place: Path, model: Path, flags: list[str], words: str
) -> None:
    (place / "photos" / "cat.html").write_bytes((place / "photos" / "cat.png").read_bytes())
    before = names(place)
    result = stylize(model, "-o", "out/", *flags, "-f")
    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr
    assert " with -o" not in result.stderr
    assert names(place) == before


def test_a_folder_is_no_page(place: Path, model: Path) -> None:
    (place / "run.html").mkdir()
    result = stylize(model, "-o", "out/", "-f")
    assert (result.exit_code, result.stderr) == (5, "texsynth: run.html is a folder; choose another name\n")


def test_a_page_that_cannot_be_written_costs_no_result(
    place: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **context: object) -> Iterator[str]:
        yield "<!doctype html>"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_report, "render", full)
    result = stylize(model, "-o", "out/")
    assert result.exit_code == 5
    assert "run.html cannot be written: no space left on device" in result.stderr
    assert names(place / "out") == ['<b>&".wave.png', "cat.wave.png"]
    assert [name for name in names(place) if "tmp" in name or "html" in name] == []


def test_a_dry_run_writes_none(place: Path, model: Path) -> None:
    before = names(place)
    assert stylize(model, "-o", "out/", "-n").exit_code == 0
    assert names(place) == before


def test_quiet(place: Path, model: Path) -> None:
    result = stylize(model, "-o", "out/", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert (place / "run.html").exists()


def test_pipes_are_listed_without_pictures(place: Path, model: Path) -> None:
    data = (place / "photos" / "cat.png").read_bytes()
    result = stylize(model, "-o", "-", contents="-", data=data)
    assert result.exit_code == 0, result.stderr
    assert images.read(result.stdout_bytes).width == 41
    page = Page(place / "run.html")
    assert page.all("img", "src") == []
    assert "standard input" in page.text
    assert "standard output" in page.text
    assert "41 × 33 px" in page.text
    assert stylize(model, "-o", "out.png", "-f", contents="-", data=data).exit_code == 0
    assert Page(place / "run.html").all("img", "alt") == ["output out.png", "wave"]


@pytest.mark.slow
def test_the_other_commands(place: Path, model: Path) -> None:
    for arguments in (
        ["blend", "photos/cat.png", "--style", "wave.png", "--style", "photos/cat.png", "--sweep", 2],
        ["expand", "wave.png", "--method", "patch", "--count", 2],
        ["tile", "wave.png"],
    ):
        flags = ["-o", f"{arguments[0]}/", "--model", model, "--report", f"{arguments[0]}.html"]
        result = run_cli(*arguments, *flags)
        assert result.exit_code == 0, result.stderr
        page = Page(place / f"{arguments[0]}.html")
        count = 1 if arguments[0] == "tile" else 2
        assert page.totals["done"] == str(count)
        assert len(page.all("img", "src")) == (4 if arguments[0] == "blend" else 2) * count
        assert ("2 × 2 tiles" in page.text) == (arguments[0] == "tile")
        # What has grown stands beside its exemplar, and has no slider.
        assert page.all("input", "type").count("range") == (0 if arguments[0] == "expand" else count)
    result = run_cli("replay", "tile/wave.tile.png", "--report", "again.html")
    assert result.exit_code == 0, result.stderr
    assert len(Page(place / "again.html").all("img", "src")) == 2


def test_siblings_are_linked(place: Path, model: Path) -> None:
    make_picture(place / "rough.png", seed=5, height=30, width=28)
    flags = ["--with", "rough.png", "-o", "out/", "--method", "patch", "--model", model]
    assert run_cli("expand", "wave.png", *flags, "--report", "run.html").exit_code == 0
    links = [link for link in Page(place / "run.html").all("a", "href") if not link.startswith("#")]
    assert links == ["out/wave.expand.png", "out/rough.expand.png"]


def test_a_page_grows_job_by_job_and_appears_whole(tmp_path: Path) -> None:
    make_picture(tmp_path / "in.png")
    job = Job(Input(tmp_path / "in.png", ""), tmp_path / "in.png")
    report = Report(9, [Done(job, WrittenInfo(41, 33), 0.1)] * 9, seconds=4.5)
    page = tmp_path / "deep" / "a.html"
    sizes: list[int] = []

    def look() -> None:
        assert not page.exists()
        (partial,) = page.parent.glob(".texsynth-*.tmp")
        sizes.append(partial.stat().st_size)

    settings = RunSettings()
    run_report.write_report(report, page, arguments=[], run=settings, force=False, on_item=look)
    assert len(sizes) == 9
    assert sizes[-1] > sizes[0], "what is done is on disk"
    assert names(page.parent) == ["a.html"]
    assert Page(page).totals["pictures per second"] == "2.00"
