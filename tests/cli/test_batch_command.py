"""texsynth batch from end to end, with a random model so that no weights are needed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.cli import make_picture, run_cli
from helpers.faults import in_the_middle
from typer.testing import Result

from texsynth.config.records import Source
from texsynth.config.settings import RunSettings
from texsynth.images import Picture, embedded_settings, read, write
from texsynth.jobs import stylize as stylize_jobs
from texsynth.jobs.blend_inputs import StyledJob
from texsynth.jobs.contents import PreparedContent, prepare_content
from texsynth.jobs.files import read_visible
from texsynth.jobs.inputs import Input

JOBS = """
output: out
jobs:
  - contents: photos
    styles: [wave.png, dots.png]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three contents, one of them in a folder inside, and two styles."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "sea").mkdir(parents=True)
    make_picture(tmp_path / "photos" / "cat.png", seed=1)
    make_picture(tmp_path / "photos" / "dog.png", seed=2, height=20)
    make_picture(tmp_path / "photos" / "sea" / "cat.png", seed=3)
    make_picture(tmp_path / "wave.png", seed=4, height=30, width=28)
    make_picture(tmp_path / "dots.png", seed=5, height=30, width=28)
    (tmp_path / "jobs.yaml").write_text(JOBS)
    return tmp_path


def batch(model: Path, *arguments: object, manifest: str = "jobs.yaml") -> Result:
    return run_cli("batch", manifest, "--model", model, *arguments)


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def objects(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


STYLES = ("wave.png", "dots.png")
FOUR = {f"{content}.{style}.png" for content in ("cat", "dog") for style in ("wave", "dots")}


def test_every_content_gets_every_style(place: Path, model: Path) -> None:
    result = batch(model)
    assert result.exit_code == 0, result.stderr
    assert set(hashes(place / "out")) == FOUR
    assert result.stdout.splitlines()[0] == "out/cat.wave.png"
    assert len(result.stdout.splitlines()) == 4
    assert "4 done, 0 skipped, 0 failed in " in result.stderr
    assert "pictures per second" in result.stderr


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_result_is_that_of_stylize(place: Path, model: Path, suffix: str) -> None:
    (place / "jobs.yaml").write_text(
        f"output: out\nname: '{{folder}}/{{content}}.{{preset}}.{suffix}'\njobs:\n"
        "  - {contents: photos, styles: wave.png, presets: [bold, soft.yaml], recursive: true,"
        " set: {grain: 0.2, transform.ridge: 0.01}}\n"
    )
    (place / "soft.yaml").write_text("stylize: {strength: 0.5}")
    assert batch(model, "--seed", 3).exit_code == 0
    assert {f"sea/cat.bold.{suffix}", f"sea/cat.soft.{suffix}", f"dog.soft.{suffix}"} <= set(
        hashes(place / "out")
    )
    for preset, name in (("bold", "bold"), ("soft.yaml", "soft")):
        look = ["-p", preset, "--set", "grain=0.2", "--set", "transform.ridge=0.01", "--seed", "3", "-r"]
        flags = ["--model", model, "--format", suffix, "-o", f"alone-{name}/"]
        assert run_cli("stylize", "photos", "wave.png", *look, *flags).exit_code == 0
        for content in ("cat", "sea/cat"):
            one = place / "out" / f"{content}.{name}.{suffix}"
            other = place / f"alone-{name}" / f"{content}.wave.{suffix}"
            assert np.array_equal(read(one).rgb, read(other).rgb)
            assert embedded_settings(one) == embedded_settings(other)


def test_paths_count_from_the_manifest(place: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "runs [1]").mkdir()
    monkeypatch.chdir(place / "photos")
    text = "output: out\njobs: [{contents: '../photos/*.png', styles: ../wave.png}]"
    (place / "runs [1]" / "jobs.yaml").write_text(text)
    result = batch(model, manifest="../runs [1]/jobs.yaml")
    assert result.exit_code == 0, result.stderr
    assert set(hashes(place / "runs [1]" / "out")) == {"cat.wave.png", "dog.wave.png"}
    assert batch(model, "-o", "here", manifest="../runs [1]/jobs.yaml").exit_code == 0
    assert set(hashes(place / "photos" / "here")) == {"cat.wave.png", "dog.wave.png"}


def test_styles_may_be_cards_and_folders(place: Path, model: Path) -> None:
    (place / "art").mkdir()
    (place / "wave.png").rename(place / "art" / "wave.png")
    made = run_cli("card", "make", "dots.png", "-o", "art/dots.card", "--model", model)
    assert made.exit_code == 0, made.stderr
    (place / "jobs.yaml").write_text(JOBS.replace("[wave.png, dots.png]", "art"))
    result = batch(model)
    assert result.exit_code == 0, result.stderr
    assert set(hashes(place / "out")) == FOUR


def test_rows(place: Path, model: Path) -> None:
    (place / "rows.csv").write_text(
        "content,style,preset,output\nphotos/cat.png,wave.png,gentle,\nphotos/dog.png,wave.png,,a/b.png\n"
    )
    rows = (
        {"content": "photos/cat.png", "style": "wave.png", "preset": "gentle"},
        {"content": "photos/dog.png", "style": "wave.png", "output": "a/b.png"},
    )
    (place / "rows.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    for name in ("csv", "jsonl"):
        result = batch(model, "-o", name, manifest=f"rows.{name}")
        assert result.exit_code == 0, result.stderr
    assert set(hashes(place / "csv")) == {"cat.wave.gentle.png", "a/b.png"}
    assert hashes(place / "csv") == hashes(place / "jsonl")


def test_fields_cannot_leave_their_place(place: Path, model: Path) -> None:
    make_picture(place / "we\\ird\n.png", seed=1)
    (place / "jobs.yaml").write_text(
        "output: out\nname: '{index}/{folder}/{content}-{style}.png'\n"
        'jobs: [{contents: "we\\\\ird\\n.png", styles: wave.png}]'
    )
    result = batch(model)
    assert result.exit_code == 0, result.stderr
    assert set(hashes(place / "out")) == {"1/we_ird_-wave.png"}


def test_dry_run(place: Path, model: Path) -> None:
    result = batch(model, "-n")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 4)
    assert not (place / "out").exists()


def test_existing_outputs_are_refused(place: Path, model: Path) -> None:
    assert batch(model, "-q").stderr == ""
    before = hashes(place / "out")
    result = batch(model)
    assert result.exit_code == 5
    assert "exists already; use --force" in result.stderr
    assert batch(model, "-f").exit_code == 0
    assert hashes(place / "out") == before


@pytest.mark.parametrize("suffix", ["png", "jpg", "tga"])
def test_resume_ends_with_the_same_bytes(place: Path, model: Path, suffix: str) -> None:
    (place / "jobs.yaml").write_text(f"name: '{{content}}-{{style}}.{suffix}'{JOBS}")
    assert batch(model).exit_code == 0
    whole = hashes(place / "out")
    for path in (place / "out").glob("dog-wave*"):
        path.unlink()
    # Without the picture that a killed run did not reach, its settings alone are left.
    (place / "out" / f"cat-wave.{suffix}").unlink()
    (place / "out" / ".texsynth-0123.tmp").write_text("what a killed run leaves")
    result = batch(model, "--resume", "--json")
    assert result.exit_code == 0, result.stderr
    (place / "out" / ".texsynth-0123.tmp").unlink()
    assert hashes(place / "out") == whole
    assert [found["output"] for found in objects(result) if found.get("skipped")] == [
        f"out/{content}-dots.{suffix}" for content in ("cat", "dog")
    ]
    again = batch(model, "--resume")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "0 done, 4 skipped, 0 failed" in again.stderr
    assert hashes(place / "out") == whole


def test_settings_of_another_origin_are_kept(place: Path, model: Path) -> None:
    (place / "jobs.yaml").write_text(f"name: '{{content}}-{{style}}.tga'{JOBS}")
    (place / "out").mkdir()
    (place / "out" / "cat-wave.tga.yaml").write_text("notes")
    result = batch(model, "--resume")
    assert result.exit_code == 3
    assert "out/cat-wave.tga.yaml exists already (its settings cannot be read); use --force" in result.stderr
    assert (place / "out" / "cat-wave.tga.yaml").read_text() == "notes"
    assert "1 done, 3 skipped" in batch(model, "--resume", "-f").stderr
    assert (place / "out" / "cat-wave.tga").exists()


def test_resume_from_another_folder(place: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert batch(model).exit_code == 0
    monkeypatch.chdir(place / "photos")
    result = batch(model, "--resume", manifest="../jobs.yaml")
    assert "0 done, 4 skipped" in result.stderr


def change_content(place: Path) -> None:
    (place / "photos" / "cat.png").unlink()
    make_picture(place / "photos" / "cat.png", seed=9)


def change_style(place: Path) -> None:
    (place / "dots.png").unlink()
    make_picture(place / "dots.png", seed=9)


def change_settings(place: Path) -> None:
    (place / "jobs.yaml").write_text(f"{JOBS}    set: {{strength: 0.5}}\n")


def cut_off(place: Path) -> None:
    path = place / "out" / "cat.dots.png"
    path.write_bytes(path.read_bytes()[:-40])


def strip(place: Path) -> None:
    path = place / "out" / "cat.dots.png"
    write(read(path), path, force=True)


@pytest.mark.parametrize(
    ("change", "flags", "count", "words"),
    [
        (change_content, [], 2, "made with other content"),
        (change_style, [], 2, "made with other style"),
        (change_settings, [], 4, "made with stylize.strength 1.0, not 0.5"),
        (lambda _: None, ["--seed", 1], 4, "made with run.seed 0, not 1"),
        (lambda _: None, ["--max-pixels", 10**6, "--memory-limit", "100%"], 0, ""),
        (cut_off, [], 1, "is damaged"),
        (strip, [], 1, "carries no texsynth settings"),
    ],
)
def test_resume_keeps_off_what_differs(
    place: Path, model: Path, change: object, flags: list[object], count: int, words: str
) -> None:
    assert batch(model).exit_code == 0
    assert callable(change)
    change(place)
    before = hashes(place / "out")
    result = batch(model, "--resume", *flags)
    assert result.exit_code == {0: 0, 4: 5}.get(count, 3), result.stderr
    assert f"0 done, {4 - count} skipped, {count} failed" in result.stderr
    assert result.stderr.count(words) == count or not words
    assert result.stderr.count("exists already") == result.stderr.count("use --force") == count
    assert hashes(place / "out") == before
    forced = batch(model, "--resume", "-f", *flags)
    assert f"{count} done, {4 - count} skipped, 0 failed" in forced.stderr
    assert "4 skipped" in batch(model, "--resume", *flags).stderr


@pytest.mark.slow
def test_killed_in_the_middle(place: Path, model: Path) -> None:
    for number in range(20):
        make_picture(place / "photos" / f"{number}.png", seed=number, height=150, width=160)
    assert batch(model, "-o", "whole", "--threads", 1).exit_code == 0
    root = str(Path(__file__).parents[2])
    flags = ["batch", "jobs.yaml", "--model", str(model), "--threads", "1", "--resume"]
    command = [sys.executable, "-m", "texsynth", *flags]
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}

    def killed() -> None:
        with subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(3):
                process.stdout.readline()
            time.sleep(0.05)
            process.send_signal(signal.SIGKILL)

    in_the_middle(place / "out", 44, killed)
    finished = {name for name in hashes(place / "out") if not name.endswith(".tmp")}
    assert len(finished) >= 3
    result = batch(model, "--resume", "--threads", 1)
    assert result.exit_code == 0, result.stderr
    assert f"{len(finished)} skipped" in result.stderr
    made = {name: digest for name, digest in hashes(place / "out").items() if not name.endswith(".tmp")}
    assert made == hashes(place / "whole")


def test_interrupted(place: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(job: StyledJob, *arguments: Any, **flags: Any) -> PreparedContent:  # noqa: ANN401
        if job.output.name == "cat.dots.png":
            raise KeyboardInterrupt
        return prepare_content(job, *arguments, **flags)

    monkeypatch.setattr(stylize_jobs, "prepare_content", interrupted)
    result = batch(model)
    assert result.exit_code == 130
    assert "interrupted; 2 done, 0 skipped, 0 failed in" in result.stderr
    assert "continue with --resume" in result.stderr
    monkeypatch.undo()
    monkeypatch.chdir(place)
    assert "2 done, 2 skipped" in batch(model, "--resume").stderr


def test_every_style_is_measured_once(place: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def counted(item: Input, run: RunSettings) -> tuple[Picture, Source]:
        seen.append(item.path.name)
        return read_visible(item, run)

    monkeypatch.setattr("texsynth.jobs.blend.read_visible", counted)
    pairs = [f"photos/{content},{style}" for content in ("cat.png", "dog.png") for style in STYLES]
    (place / "rows.csv").write_text("\n".join(["content,style", *pairs]))
    assert batch(model, "-o", "out", manifest="rows.csv").exit_code == 0
    assert seen == list(STYLES)
    assert batch(model, "-o", "out", "--resume", manifest="rows.csv").exit_code == 0
    assert seen == list(STYLES), "nothing is measured for results that are there"


def test_shards_are_disjoint_and_cover_all(place: Path, model: Path) -> None:
    assert batch(model, "-o", "whole").exit_code == 0
    listed = [batch(model, "-n", "--shard", f"{i}/3").stdout.splitlines() for i in (1, 2, 3)]
    assert sorted(name for part in listed for name in part) == sorted(
        f"out/{name}" for name in hashes(place / "whole")
    )
    for i in (3, 1, 2):
        assert batch(model, "--shard", f"{i}/3").exit_code == 0
    assert hashes(place / "out") == hashes(place / "whole")
    empty = batch(model, "--shard", "5/5")
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "is empty" in empty.stderr


def test_shards_know_collisions_elsewhere(place: Path, model: Path) -> None:
    (place / "jobs.yaml").write_text(f"name: '{{content}}.png'{JOBS}")
    for flags in ([], ["--shard", "1/2"], ["-f"]):
        result = batch(model, *flags)
        assert result.exit_code == 2
        assert "would both be written to out/cat.png; change `name:`" in result.stderr
    assert not (place / "out").exists()


def test_bad_files_do_not_stop_the_rest(place: Path, model: Path) -> None:
    (place / "photos" / "broken.png").write_bytes(b"no picture")
    cut = (place / "photos" / "dog.png").read_bytes()
    (place / "photos" / "dog.png").write_bytes(cut[: len(cut) // 2])
    (place / "jobs.yaml").write_text(JOBS.replace("dots.png", "missing.png"))
    result = batch(model, "--json")
    assert result.exit_code == 3, result.stderr
    assert set(hashes(place / "out")) == {"cat.wave.png"}
    found = objects(result)
    assert len(found) == 6
    good = [entry for entry in found if "error" not in entry]
    assert [entry["output"] for entry in good] == ["out/cat.wave.png"]
    assert set(good[0]) == {"output", "content", "style", "preset", "width", "height", "seconds"}
    bad = {(entry["content"], entry["style"]) for entry in found if "error" in entry}
    assert ("photos/dog.png", "wave.png") in bad
    assert {entry["exit_code"] for entry in found if "error" in entry} == {4}
    assert "1 done, 0 skipped, 5 failed" in result.stderr
    (place / "photos" / "cat.png").unlink()
    assert batch(model, "-o", "other").exit_code == 4


HEAD = "output: out\njobs: "
GOOD = "{contents: photos, styles: wave.png}"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", "", "must end with .yaml"),
        ("a.yaml", "just words", "must be a mapping"),
        ("a.yaml", "", "must be a mapping"),
        ("a.yaml", "output: out", "jobs is missing"),
        ("a.yaml", f"{HEAD}[]", "has no jobs"),
        ("a.yaml", f"jobs: [{GOOD}]", "names no folder"),
        ("a.yaml", f"outputs: out\njobs: [{GOOD}]", "'outputs'; did you mean 'output'?"),
        ("a.yaml", f"{HEAD}[{GOOD}, {{content: a, styles: b}}]", "job 2: unknown setting 'content'"),
        ("a.yaml", f"{HEAD}[{GOOD}, 7]", "job 2 must be a mapping"),
        ("a.yaml", f"{HEAD}[{{contents: [], styles: b}}]", "job 1: contents is"),
        ("a.yaml", f"{HEAD}[{{contents: [3], styles: b}}]", "job 1: contents.0 is 3"),
        ("a.yaml", f"{HEAD}[{{contents: '-', styles: b}}]", "'-' cannot be used"),
        ("a.yaml", f"{HEAD}[{GOOD[:-1]}, presets: bald}}]", "job 1: unknown preset 'bald'; did you mean"),
        ("a.yaml", f"{HEAD}[{GOOD[:-1]}, presets: fast}}]", "no settings for stylize"),
        ("a.yaml", f"{HEAD}[{GOOD[:-1]}, presets: a/b.yaml}}]", "a/b.yaml does not exist"),
        ("a.yaml", f"{HEAD}[{GOOD[:-1]}, set: {{strenth: 1}}}}]", "job 1: unknown setting 'strenth'; did"),
        ("a.yaml", f"{HEAD}[{GOOD[:-1]}, set: {{strength: 7}}}}]", "job 1: strength is 7"),
        ("a.yaml", f"{HEAD}[{GOOD[:-1]}, set: {{a: 1, a.b: 1}}}}]", "set gives 'a.b' and a part or"),
        ("a.yaml", f"{HEAD}[{GOOD[:-1]}, set: {{a.b: 1, a: 1}}}}]", "set gives 'a' and a part or"),
        ("a.yaml", f"name: '../{{content}}.png'\n{HEAD}[{GOOD}]", "no file inside out"),
        ("a.yaml", f"name: '/{{content}}.png'\n{HEAD}[{GOOD}]", "no file inside out"),
        ("a.yaml", f"name: '{{folder}}'\n{HEAD}[{GOOD}]", "no file inside out"),
        ("a.yaml", f"name: '{{content}}.gif'\n{HEAD}[{GOOD}]", "cannot write .gif"),
        ("a.yaml", f"name: '{{contents}}.png'\n{HEAD}[{GOOD}]", "unknown field 'contents' in the name"),
        ("a.yaml", f"name: '{{content.a}}.png'\n{HEAD}[{GOOD}]", "unknown field 'content.a'"),
        ("a.yaml", f"name: '{{content!r}}.png'\n{HEAD}[{GOOD}]", "takes no format"),
        ("a.yaml", f"name: '{{content.png'\n{HEAD}[{GOOD}]", "is no template"),
        ("a.yaml", f"name: same.png\n{HEAD}[{GOOD}]", "would both be written to"),
        ("a.yaml", f"{HEAD}[{GOOD}]\n#{'x' * 70000}", "larger than 64 KiB"),
        ("a.jsonl", "", "has no jobs"),
        ("a.jsonl", '{"content": "a.png"}', "line 1: style is missing"),
        ("a.jsonl", '\n{"content": "a.png", "style": "b", "x": 1}', "line 2: unknown setting 'x'"),
        ("a.jsonl", '{"content": "a", "content": "b"}', "line 1: the key 'content' is given twice"),
        ("a.jsonl", r'{"content": "\ud800", "style": "b"}', "has half a character"),
        ("a.jsonl", r'{"content": "\u0000", "style": "b"}', "has a NUL character"),
        ("a.jsonl", r'{"content": "a", "style": "b", "output": "\u0000.png"}', "has a NUL character"),
        ("a.jsonl", "[1]", "line 1 must be a mapping"),
        ("a.jsonl", "{", "line 1: it is not JSON"),
        ("a.jsonl", '{"content": "a", "style": "b", "output": "../c.png"}', "line 1: the output '../c.png'"),
        ("a.csv", "", "has no jobs"),
        ("a.csv", "content,stile\na,b", "unknown column 'stile'; did you mean 'style'?"),
        ("a.csv", "content,content\na,b", "given twice"),
        ("a.csv", "content,style\na,b,c", "line 2 has 3 cells"),
        ("a.csv", "content,style\na,\n", "line 2: style is missing"),
        ("a.csv", "content,style,preset\na,b,bald\n", "line 2: unknown preset 'bald'"),
    ],
)
def test_bad_manifests(place: Path, model: Path, name: str, text: str, words: str) -> None:
    (place / name).write_text(text)
    before = hashes(place)
    result = batch(model, *([] if name.endswith("yaml") else ["-o", "out"]), manifest=name)
    assert (result.exit_code, result.stdout) == (2, ""), result.stderr
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert name in result.stderr or "out/" in result.stderr
    assert hashes(place) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            f"{HEAD}[{{contents: photos, styles: empty}}]",
            "no pictures in the folder empty; use recursive: true",
        ),
        (f"{HEAD}[{{contents: 'x*.png', styles: wave.png}}]", "job 1: no file matches 'x*.png'"),
        (None, "jobs.yaml does not exist"),
    ],
)
def test_nothing_to_read(place: Path, model: Path, text: str | None, words: str) -> None:
    (place / "empty").mkdir()
    (place / "jobs.yaml").unlink()
    if text:
        (place / "jobs.yaml").write_text(text)
    result = batch(model)
    assert (result.exit_code, result.stdout) == (4, "")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (place / "out").exists()


@pytest.mark.parametrize("shard", ["0/3", "4/3", "x/y", "1", "-1/2", "1/2/3", "1/0"])
def test_bad_shards(place: Path, model: Path, shard: str) -> None:
    result = batch(model, f"--shard={shard}")
    assert result.exit_code == 2
    assert "--shard is" in result.stderr
    assert not (place / "out").exists()


def test_outputs_stay_inside_through_links(place: Path, model: Path) -> None:
    (place / "out").mkdir()
    (place / "out" / "away").symlink_to(place / "photos")
    (place / "jobs.yaml").write_text(f"name: 'away/{{content}}.{{style}}.png'{JOBS}")
    result = batch(model)
    assert result.exit_code == 2
    assert "one of its folders is a link" in result.stderr
