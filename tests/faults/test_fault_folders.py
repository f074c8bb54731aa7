"""Folders that are full, read-only, gone, or shared with another run."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.faults import (
    batch,
    check_sound,
    command,
    environment,
    hashes,
    in_the_middle,
    linux,
    make_reference,
    may_mount,
    pictures,
    start,
    temporary,
    with_mounts,
)
from helpers.waiting import PATIENCE

from texsynth.images import Picture, write
from texsynth.jobs import files
from texsynth.jobs.files import JobResult, write_outputs
from texsynth.jobs.outcomes import WrittenInfo

mounts = pytest.mark.skipif(not may_mount(), reason="needs mounts of its own")

COUNT = 12


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    return make_reference(tmp_path_factory.mktemp("reference"), model, COUNT)


def completed(place: Path, model: Path, whole: dict[str, str], *flags: object) -> None:
    """What is there is sound, and the rest can be made."""
    finished = len(pictures(place / "out"))
    check_sound(place / "out", whole)
    assert temporary(place / "out") == []
    result = batch(model, "--resume", *flags)
    assert result.exit_code == 0, result.stderr
    assert f"{len(pictures(place / 'whole')) - finished} done, {finished} skipped, 0 failed" in result.stderr
    assert hashes(place / "out") == whole


@pytest.mark.slow
@linux
@mounts
def test_a_full_disk(place: Path, model: Path, whole: dict[str, str]) -> None:
    (place / "out").mkdir()
    script = """
    mount -t tmpfs -o size=64k none out
    run "$@" 2> errors
    cp -a out/. first
    mount -o remount,size=8m none out
    run "$@" --resume 2> later
    cp -a out/. second
    """
    (place / "first").mkdir()
    (place / "second").mkdir()
    done = with_mounts(script, place, *command(model))
    listed = [line for line in done.stdout.splitlines() if line.startswith("out/")]
    codes = [line for line in done.stdout.splitlines() if not line.startswith("out/")]
    assert codes == ["3", "0"], done.stderr
    errors = (place / "errors").read_text().splitlines()
    finished = pictures(place / "first")
    assert 0 < len(finished) < COUNT
    assert len(errors) == COUNT - len(finished) + 1
    assert all("cannot be written: no space left on device" in line for line in errors[:-1])
    assert f"{len(finished)} done, 0 skipped, {COUNT - len(finished)} failed" in errors[-1]
    check_sound(place / "first", whole)
    assert temporary(place / "first") == []
    assert not [n for n in hashes(place / "first") if n.endswith(".yaml") and n[:-5] not in finished]
    assert f"{len(finished)} skipped, 0 failed" in (place / "later").read_text()
    assert hashes(place / "second") == whole
    assert len(listed) == COUNT


@linux
def test_a_limit_on_the_size_of_files(place: Path, model: Path) -> None:
    resource = pytest.importorskip("resource")
    for number in (4, 7):
        noise = np.random.default_rng(number).integers(0, 256, (200, 200, 3), np.uint8)
        write(Picture(noise), place / "photos" / f"{number:02}.png", force=True)
    assert batch(model, "-f", output="whole").exit_code == 0
    sizes = {name: (place / "whole" / name).stat().st_size for name in pictures(place / "whole")}
    *_, limit, small, large = sorted(sizes.values())
    assert {small, large} == {sizes["04.png"], sizes["07.tga"]}, sizes
    done = subprocess.run(
        command(model), cwd=place, env=environment(), text=True, capture_output=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    for name in ("04.png", "07.tga"):
        assert f"out/{name} cannot be written: file too large" in done.stderr
    assert f"{COUNT - 2} done, 0 skipped, 2 failed" in done.stderr
    assert len(hashes(place / "out")) == len(hashes(place / "whole")) - 3, "a picture, one more, its settings"
    completed(place, model, hashes(place / "whole"))


@pytest.mark.parametrize("name", ["fsync", "link", "open"])
@pytest.mark.parametrize("good", [0, 1, 2])
def test_every_write_may_fail(
    place: Path, model: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str, good: int
) -> None:
    """good: how many calls work before the disk is full."""
    real = getattr(os, name)
    left = [good]

    def failing(path: Any, *arguments: Any, **flags: Any) -> Any:  # noqa: ANN401
        # Python itself opens files to read.
        if name == "open" and not (arguments and arguments[0] & os.O_CREAT):
            return real(path, *arguments, **flags)
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= 1
        return real(path, *arguments, **flags)

    monkeypatch.setattr(os, name, failing)
    if name == "link":  # what is done where links cannot be made must fail as well
        monkeypatch.setattr(os, "replace", failing)
    result = batch(model)
    monkeypatch.undo()
    monkeypatch.chdir(place)
    if name != "open" and name != "link":
        assert result.exit_code == (5 if good == 0 else 3), result.stderr
        assert result.stderr.count("no space left on device") == COUNT - len(pictures(place / "out"))
    assert "bug" not in result.stderr
    completed(place, model, whole)


@linux
@mounts
def test_a_folder_that_cannot_be_written(place: Path, model: Path) -> None:
    (place / "out").mkdir()
    script = 'mount --bind out out && mount -o remount,bind,ro out && run "$@"'
    done = with_mounts(script, place, *command("no.safetensors"))  # type: ignore[arg-type]
    assert done.stdout == "5\n", "before the model is looked for"
    assert done.stderr == "texsynth: the folder out is not writable\n"


@pytest.mark.slow
@linux
@mounts
def test_a_folder_that_cannot_be_written_any_more(place: Path, model: Path) -> None:
    extra = [f"\nphotos/{n % COUNT:02}.png,wave.png,more{n}.jpg" for n in range(20)]
    with (place / "jobs.csv").open("a") as manifest:
        manifest.write("".join(extra))
    assert batch(model, "-f", output="whole").exit_code == 0
    script = """
    mkdir out
    rm -f listed
    mount --bind out out
    "$@" > listed 2> errors &
    until [ -s listed ]; do sleep 0.01; done
    kill -STOP $!
    # Not while a file is being written.
    until mount -o remount,bind,ro out 2> /dev/null; do
        kill -CONT $!; sleep 0.01; kill -STOP $!
    done
    kill -CONT $!
    wait $!
    """
    done = in_the_middle(place / "out", COUNT + 20, lambda: with_mounts(script, place, *command(model)))
    listed = (place / "listed").read_text().splitlines()
    errors = (place / "errors").read_text()
    assert done.returncode == 3, errors
    assert "bug" not in errors
    assert errors.count("cannot be written: read-only file system") == COUNT + 20 - len(listed)
    assert {Path(line).name for line in listed} == pictures(place / "out")
    for name in temporary(place / "out"):  # it could not be removed either
        (place / "out" / name).unlink()
    completed(place, model, hashes(place / "whole"))


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def replace(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.touch()


@pytest.mark.parametrize(("change", "code"), [(remove, 0), (replace, 3)])
def test_a_folder_that_goes_away(
    place: Path,
    model: Path,
    whole: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    code: int,
) -> None:
    calls: list[JobResult] = []

    def changing(result: JobResult, *policy: Any, **flags: Any) -> WrittenInfo:  # noqa: ANN401
        calls.append(result)
        if len(calls) == 4:
            change(place / "out")
        return write_outputs(result, *policy, **flags)

    monkeypatch.setattr(files, "write_outputs", changing)
    result = batch(model)
    assert result.exit_code == code, result.stderr
    assert "bug" not in result.stderr
    if code:
        assert f"3 done, 0 skipped, {COUNT - 3} failed" in result.stderr
        assert result.stderr.count("the folder out cannot be made: file exists") == COUNT - 3
        (place / "out").unlink()
        (place / "out").mkdir()
    monkeypatch.setattr(files, "write_outputs", write_outputs)
    completed(place, model, whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "others"),
    [([], []), (["--resume"], ["--executor", "processes", "--workers", "2"])],
)
def test_two_runs_at_once(
    place: Path, model: Path, whole: dict[str, str], flags: list[str], others: list[str]
) -> None:
    with start(place, model, *flags) as one, start(place, model, *others) as other:
        listed, errors = zip(*(p.communicate(timeout=PATIENCE) for p in (one, other)), strict=True)
    assert hashes(place / "out") == whole
    assert temporary(place / "out") == []
    names = "".join(listed).split()
    assert sorted(names) == sorted(f"out/{name}" for name in pictures(place / "whole")), "each once"
    if flags:
        assert (one.returncode, other.returncode) == (0, 0) or others[0] != "--resume", errors
        assert one.returncode == 0, errors
        assert " 0 failed" in errors[0]
    else:
        assert {one.returncode, other.returncode} <= {0, 3, 5}, errors
        assert "".join(errors).count("exists already") in range(1, COUNT + 1)


SETTINGS = {"as wanted": [], "of other settings": ["--seed", 1]}


@pytest.mark.parametrize("origin", SETTINGS)
@pytest.mark.parametrize("parts", ["all", "settings"])
@pytest.mark.parametrize("flags", [[], ["--resume"]])
def test_the_other_run_is_faster(
    place: Path,
    model: Path,
    whole: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    origin: str,
    parts: str,
    flags: list[str],
) -> None:
    """Just before a file is written, it appears; or the settings that the other run writes first."""
    assert batch(model, *SETTINGS[origin], output="other").exit_code == 0
    appeared = set()

    def late(result: JobResult, *policy: Any, **options: Any) -> WrittenInfo:  # noqa: ANN401
        name = result.files[0].path.name
        if name not in appeared:
            appeared.add(name)
            (place / "out").mkdir(exist_ok=True)
            for path in (place / "other").glob(f"{name}*"):
                if parts == "all" or path.suffix == ".yaml":
                    shutil.copy(path, place / "out")
        return write_outputs(result, *policy, **options)

    monkeypatch.setattr(files, "write_outputs", late)
    result = batch(model, *flags)
    refused = COUNT if parts == "all" else COUNT // 2
    if flags and origin == "as wanted":
        skipped = COUNT if parts == "all" else 0
        assert result.exit_code == 0, result.stderr
        assert f"{COUNT - skipped} done, {skipped} skipped, 0 failed" in result.stderr
        assert hashes(place / "out") == whole
    else:
        assert result.exit_code == (5 if parts == "all" else 3), result.stderr
        assert f"0 skipped, {refused} failed" in result.stderr
        assert result.stderr.count("exists already") == refused
        other = hashes(place / "other")
        kept = {n: d for n, d in hashes(place / "out").items() if n in appeared and n.endswith("tga.yaml")}
        assert all(other[name] == digest for name, digest in kept.items()), "nothing is replaced"


def test_the_other_run_takes_settings_for_left_over(
    place: Path, model: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are removed between being written and their picture."""
    real = os.link

    def link(source: Path, target: Path) -> None:
        Path(f"{target}.yaml").unlink(missing_ok=True)
        real(source, target)

    monkeypatch.setattr(os, "link", link)
    assert batch(model).exit_code == 0
    assert hashes(place / "out") == whole
