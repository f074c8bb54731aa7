"""Pairing inputs with outputs, and runs that go on past a bad file."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.operations import Raising

from texsynth.config.settings import StylizeSettings
from texsynth.errors import InputError, MemoryExhaustedError, OutputError, TexsynthError, UsageError
from texsynth.images.formats import ResultFormat
from texsynth.jobs.blend_inputs import stylize_jobs
from texsynth.jobs.checks import check_outputs
from texsynth.jobs.files import OutputPolicy, memory_guard
from texsynth.jobs.inputs import PIPE, Input, Job, file_seed, find_inputs
from texsynth.jobs.outcomes import Done, Events, WrittenInfo, collect
from texsynth.jobs.runner import SerialExecutor

STYLE = Input(Path("art/wave.jpg"), "wave.jpg")
LOOK = StylizeSettings()


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def job(name: str, output: str = "out.png") -> Job:
    return Job(Input(Path(name), name), Path(output))


def found(folder: Path, *arguments: str, recursive: bool = False) -> list[str]:
    return [i.key for i in find_inputs([str(folder / a) for a in arguments], recursive=recursive)]


def test_folders_patterns_and_files(tmp_path: Path) -> None:
    touched(tmp_path, "b.PNG", "a.jpg", "note.txt", ".hidden.png", "sub/c.tif", "sub/._d.jpg")
    assert found(tmp_path, ".") == ["a.jpg", "b.PNG"]
    assert found(tmp_path, ".", recursive=True) == ["a.jpg", "b.PNG", "sub/c.tif"]
    assert found(tmp_path, "*.[jP]*") == ["a.jpg", "b.PNG"]
    assert found(tmp_path, "**/*.tif") == ["c.tif"]
    assert found(tmp_path, "b.PNG", "*", "a.jpg") == ["b.PNG", "a.jpg", "note.txt"]


def test_brackets_in_a_file_name_are_no_pattern(tmp_path: Path) -> None:
    touched(tmp_path, "a[1].png", "a1.png")
    assert found(tmp_path, "a[1].png") == ["a[1].png"]


def test_nothing_found_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no pictures in the folder .* --recursive"):
        find_inputs([str(tmp_path)], recursive=False)
    with pytest.raises(InputError, match="no file matches"):
        find_inputs([str(tmp_path / "*.png")], recursive=False)


def test_output_names(tmp_path: Path) -> None:
    one, two = Input(Path("x/cat.jpg"), "cat.jpg"), Input(Path("y/dog.png"), "sub/dog.png")
    assert stylize_jobs([one], STYLE, LOOK, None)[0].output == Path("cat.wave.jpg")
    assert stylize_jobs([one], STYLE, LOOK, "out.tif")[0].output == Path("out.tif")
    assert stylize_jobs([one], STYLE, LOOK, "-")[0].output == PIPE
    (job,) = stylize_jobs([one], STYLE, LOOK, str(tmp_path), result_format=ResultFormat(".tif"))
    assert job.output == tmp_path / "cat.wave.tif"
    assert stylize_jobs([one], STYLE, LOOK, "new/")[0].output == Path("new/cat.wave.jpg")
    outputs = [j.output for j in stylize_jobs([one, two], STYLE, LOOK, "new")]
    assert outputs == [Path("new/cat.wave.jpg"), Path("new/sub/dog.wave.png")]
    assert stylize_jobs([Input(PIPE, "-", b"x")], STYLE, LOOK, None)[0].output == Path("stdin.wave.png")


@pytest.mark.parametrize(("output", "count"), [("-", 2), ("out.png", 2), ("out.gif", 1), ("out", 1)])
def test_impossible_outputs(output: str, count: int) -> None:
    inputs = [Input(Path(f"{i}.png"), f"{i}.png") for i in range(count)]
    with pytest.raises(UsageError):
        stylize_jobs(inputs, STYLE, LOOK, output)


def test_collisions_are_found_first(tmp_path: Path) -> None:
    out = str(tmp_path / "o.png")
    with pytest.raises(UsageError, match=r"a\.png and b\.png would both be written"):
        check_outputs([job("a.png", out), job("b.png", out)], [], force=True)
    with pytest.raises(UsageError, match="also an input"):
        check_outputs([job("a.png", out)], [Input(Path(out), "o.png")], force=True)
    link = tmp_path / "link.png"
    link.symlink_to(touched(tmp_path, "real.png") / "real.png")
    with pytest.raises(UsageError, match="also an input"):
        check_outputs([job("a", str(link))], [Input(tmp_path / "real.png", "real.png")], force=True)


def test_existing_outputs_need_force(tmp_path: Path) -> None:
    touched(tmp_path, "o.png", "p.tga.yaml")
    for name in ("o.png", "p.tga"):
        jobs = [job("a.png", str(tmp_path / name))]
        with pytest.raises(OutputError, match="--force"):
            check_outputs(jobs, [], force=False)
        check_outputs(jobs, [], force=True)
    with pytest.raises(OutputError, match="is a file"):
        check_outputs([job("a.png", str(tmp_path / "o.png" / "x.png"))], [], force=True)
    (tmp_path / "dir.png").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        check_outputs([job("a.png", str(tmp_path / "dir.png"))], [], force=True)


def test_unwritable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(OutputError, match="not writable"):
        check_outputs([job("a.png", str(tmp_path / "o.png"))], [], force=False)


def test_seeds_depend_on_seed_and_path_only() -> None:
    assert file_seed(0, "a/b.png") == 6772485890950225128
    assert len({file_seed(s, k) for s in (0, 1) for k in ("a", "b", "1a")}) == 6


@pytest.mark.parametrize("stage", ["load", "compute", "write"])
@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ({}, 0),
        ({"a": InputError("x")}, 3),
        ({"a": ValueError("x")}, 3),
        ({"a": InputError("x"), "b": InputError("y")}, 4),
        ({"a": InputError("x"), "b": OutputError("y")}, 4),
        ({"a": MemoryExhaustedError("x"), "b": MemoryExhaustedError("y")}, 7),
        ({"a": ValueError("x"), "b": KeyError("y")}, 1),
        ({"a": KeyboardInterrupt()}, 130),
        ({"b": KeyboardInterrupt()}, 130),
    ],
)
def test_exit_codes(
    errors: dict[str, BaseException], code: int, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if code == 130 and stage != "compute":
        pytest.skip("Ctrl-C reaches the main thread alone")
    seen: list[object] = []
    jobs = [job("a"), job("b")]
    operation = Raising(errors, stage)
    if stage == "write":
        left = iter(jobs)

        def write(*_: object) -> WrittenInfo:
            if error := errors.get(next(left).picture.key):
                raise error
            return WrittenInfo(1, 1)

        monkeypatch.setattr("texsynth.jobs.runner.write_result", write)
    executor = SerialExecutor(operation, OutputPolicy())
    report = collect(executor.outcomes(jobs, Events()), len(jobs), on_outcome=seen.append)
    assert report.exit_code == code
    assert seen == report.outcomes
    if "a" in errors and code != 130:
        assert len(seen) == 2, "a bad file must not stop the rest"
    if report.interrupted:
        assert all(isinstance(outcome, Done) for outcome in report.outcomes)


def test_memory_errors_become_one_sentence() -> None:
    errors = [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9")]
    sentence = r"a\.png does not fit in memory; reduce it with --max-side"
    for error in [*errors, RuntimeError("MPS backend out of memory")]:
        with pytest.raises(MemoryExhaustedError, match=sentence), memory_guard("a.png"):
            raise error
    with pytest.raises(RuntimeError, match="other"), memory_guard("a.png"):
        raise RuntimeError("other")


def test_exit_codes_of_the_errors() -> None:
    assert {e.__name__: e.exit_code for e in TexsynthError.__subclasses__()} == {
        "UsageError": 2, "InputError": 4, "OutputError": 5, "ModelError": 6, "MemoryExhaustedError": 7,
        "WorkerLostError": 7,
    }  # fmt: skip
