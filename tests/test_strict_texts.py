"""Texts from anywhere: plain data, or one of our own errors, whatever the text is."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.cli import make_model, make_picture, run_cli
from safetensors.torch import save

from texsynth import images, strict_json, strict_yaml
from texsynth.errors import TexsynthError, UsageError
from texsynth.models.weights import facts_of, metadata_of, read_weights

TAGS = ("bool", "int", "float", "null", "timestamp", "binary", "set", "omap", "pairs", "map", "seq", "str",
        "merge", "value", "python/object/apply:os.system", "python/name:os.system")  # fmt: skip

VALUES = ("", "maybe", "'\"'", "_", "-", "+", ".", "-.", "+:1", "0x", "0b2", "08", "1:1", "1:x", "9999-99-99",
          "0001-01-01T00:00:00+23:00", "é", "[a]", "[a: 1]", "{a: 1}", "{a, b}", "=", "1e3", "9" * 5000,
          "1e99999")  # fmt: skip

ODD_YAML = (
    "<<: 1", "{<<: {a: 1}}", "? [a]\n: 1", "? {a: 1}\n: 2", "? a\n? a", '"\\ud800"', '"\\ud800": 1',
    'a: "\\0"', "9" * 5000, "9" * 5000 + ": 1", "1e99999", "-1e999", '"\\U00110000"', "---\n---\n",
    "%YAML 9.9\n---\na", "\x00", "\ud800", "%TAG ! tag:x\n---\n!a b", "a: &x 1\nb: *x", "- " * 2000,
    "[" * 2000, "{" * 2000, "? " * 2000, "!<!> a", "|9\n a", "\"\\x", "'", "@a", "`a", "%", "a: b: c", "\t",
    "a:\n\t- b", ": ", "&a " * 10_000, "!!str " * 10_000, "!!null x: 1", "!a [1]", "a: !a {b: 1}",
    "1: a\n1.0: b",
)  # fmt: skip

MANY = 30_000


def parsed(text: str) -> object:
    """Return the data, or UsageError's sentence in a tuple."""
    try:
        return strict_yaml.parse(text, source="x")
    except UsageError as error:
        return (str(error),)


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("value", VALUES)
def test_tags_and_values_that_do_not_fit(tag: str, value: str) -> None:
    data = parsed(f"a: !!{tag} {value}")
    if isinstance(data, tuple):
        assert data[0].startswith("x")
        assert "\n" not in data[0]
    else:
        assert tag in ("bool", "int", "float", "null", "map", "seq", "str")
        json.dumps(data, allow_nan=False)


@pytest.mark.parametrize("text", ODD_YAML)
def test_odd_yaml_is_one_sentence(text: str) -> None:
    data = parsed(text)
    if isinstance(data, tuple):
        assert data[0].startswith("x")
    else:
        json.dumps(data, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "text", ["1e5", "on", "0x10", "1:30", "2001-01-01", "=", "<<", "~", ".5", "1e-3", "\x1b"]
)
def test_what_is_dumped_is_read_as_the_same(text: str) -> None:
    for data in ({"a": text}, {text: 1}, [text]):
        assert strict_yaml.parse(strict_yaml.dump(data), source="x") == data
        assert strict_yaml.parse(strict_yaml.as_ascii(strict_yaml.dump(data)), source="x") == data


def test_many_keys_are_found_to_repeat() -> None:
    """Each is looked up once: comparing all with all would take minutes."""
    row = ",".join(f'"{number}": 1' for number in range(MANY))
    assert len(strict_json.parse(f"{{{row}}}")) == MANY
    with pytest.raises(ValueError, match="the key '5' is given twice"):
        strict_json.parse(f'{{{row}, "5": 1}}')
    text = "\n".join(f"k{number:x}:" for number in range(8000))
    assert isinstance(strict_yaml.parse(text, source="x"), dict)
    with pytest.raises(UsageError, match="the key 'k0' is given twice"):
        strict_yaml.parse(f"{text}\nk0:", source="x")


ODD_JSON = (
    "", "{", "nul", "NaN", "-Infinity", "1e999", "9" * 5000, "[" * 100_000, '{"a":' * 100_000,
    "[" * 40 + "]" * 40, '"\\ud800"', '"\\u0000"', '{"a": 1, "a": 2}', '{"\\ud800": 1}', "\ufeff1", "'a'",
    "[1,]", "\x00", "1 2",
)  # fmt: skip


@pytest.mark.parametrize("text", ODD_JSON)
def test_odd_json_is_a_value_error(text: str) -> None:
    for form in (text, text.encode(), text.encode("utf-16")):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 (whatever it says)
            strict_json.parse(form)
        assert len(str(caught.value)) < 150


def with_header(header: bytes, data: bytes = bytes(8)) -> bytes:
    return struct.pack("<Q", len(header)) + header + data


TENSOR = b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'

HEADERS = {
    "null metadata": with_header(b'{"__metadata__":null,' + TENSOR + b"}"),
    "a list": with_header(b'{"__metadata__":[],' + TENSOR + b"}"),
    "a text": with_header(b'{"__metadata__":"x",' + TENSOR + b"}"),
    "a number inside": with_header(b'{"__metadata__":{"format":1},' + TENSOR + b"}"),
    "null inside": with_header(b'{"__metadata__":{"format":null},' + TENSOR + b"}"),
    "deep": with_header(b'{"__metadata__":' + b"[" * 50_000 + b"," + TENSOR + b"}"),
    "a list as header": with_header(b"[]"),
    "null as header": with_header(b"null"),
    "no header": with_header(b""),
    "too long": struct.pack("<Q", 1 << 63) + b"{}",
    "empty": b"",
    "short": b"abc",
    "huge shape": with_header(b'{"a":{"dtype":"F32","shape":[9999999999999999999],"data_offsets":[0,8]}}'),
    "negative shape": with_header(b'{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}'),
    "huge number": with_header(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,' + b"9" * 5000 + b"]}}"),
    "odd type": with_header(b'{"a":{"dtype":"F8_E8M0","shape":[8],"data_offsets":[0,8]}}'),
    "fours": with_header(b'{"a":{"dtype":"F4","shape":[16],"data_offsets":[0,8]}}'),
    "no type": with_header(b'{"a":{"dtype":"X","shape":[2],"data_offsets":[0,8]}}'),
    "infinity": with_header(b'{"__metadata__":{"a":1e999},' + TENSOR + b"}"),
    "no utf-8": with_header(b'{"__metadata__":{"a":"\xff"},' + TENSOR + b"}"),
    "repeated": with_header(b'{"__metadata__":{"a":"b","a":"c"},' + TENSOR + b"}"),
    "of a card": save({"a": torch.zeros(2)}, {"format": "texsynth-card-1", "sources": "[" * 50_000}),
    "of an index": save({"a": torch.zeros(2)}, {"format": "texsynth-index-1", "files": "1e999"}),
    "of none": save({"descriptors": torch.zeros(2)}, {"format": "texsynth-index-1"}),
    "of a transposer": save({"pixels.weight": torch.zeros(())}, {"taps": ""}),
    "of borders": save({"borders.stem.weight": torch.zeros(0)}, {"steps": "x", "settings": "[]"}),
    "of a model": save({"encoder.conv1_1.weight": torch.zeros(())}),
    "of whole numbers": save({"encoder.conv1_1.weight": torch.zeros(2, 3, 3, 3, dtype=torch.int8)}),
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_picture(tmp_path / "a.png")
    return tmp_path


@pytest.mark.parametrize("name", HEADERS)
def test_odd_headers_are_one_sentence(place: Path, name: str) -> None:
    for file in ("odd.safetensors", "odd.card", "index.safetensors"):
        (place / file).write_bytes(HEADERS[name])
    for read in (facts_of, read_weights):
        with suppress(TexsynthError):
            read(place / "odd.safetensors")
    with suppress(ValueError):
        assert all(isinstance(text, str) for text in metadata_of(HEADERS[name]).values())
    for line in (
        ("models", "show", "odd.safetensors"),
        ("models", "import", "odd.safetensors"),
        ("card", "show", "odd.card"),
        ("expand", "a.png", "-o", "b.png", "--transposer", "odd.safetensors"),
        ("stylize", "a.png", "a.png", "-n", "-o", "b.png", "--model", "odd.safetensors"),
        ("match", "a.png", ".", "--index", "index.safetensors"),
        ("match", "a.png", ".", "--index", "odd.safetensors", "--rebuild"),
    ):
        result = run_cli(*line)
        good = "--rebuild" in line or "show" in line  # A file like that of a network can be looked at
        assert result.exit_code in ((0, 2, 4, 6) if good else (2, 4, 6)), (line, result.stderr)
        assert "bug" not in result.stderr, line
        assert result.stderr.count("\n") <= 2, line


RECORD: dict[str, Any] = {
    "command": "expand",
    "exemplars": [{"path": "a.png", "sha256": "0"}],
    "key": "a.png",
    "expand": {},
    "run": {"model": "lite", "device": "cpu"},
    "model_sha256": "",
    "versions": {"texsynth": "0", "torch": "0"},
}

RECORDS = {
    "nul": {**RECORD, "key": "\0"},
    "nul in a path": {**RECORD, "mask": {"path": "a\0b", "sha256": "0"}},
    "half a character": {**RECORD, "key": chr(0xD800)},
    "empty path": {**RECORD, "mask": {"path": "", "sha256": "0"}},
    "part without siblings": {**RECORD, "part": 1},
    "negative part": {**RECORD, "part": -1},
    "more weights": {**RECORD, "weights": [1, 2]},
    "weights of nothing": {**RECORD, "weights": [0]},
    "infinite weight": {**RECORD, "weights": [float("inf")]},
    "many siblings of many": {
        **RECORD, "exemplars": [*RECORD["exemplars"]] * 2,
        "siblings": [{"path": "a.png", "sha256": "0", "output": "b.png"}],
    },
    "no exemplars": {**RECORD, "exemplars": []},
    "a list": {**RECORD, "run": []},
    "none": {**RECORD, "versions": None},
    "huge": {**RECORD, "index": 10**30},
    "long": {**RECORD, "index": "x" * 20_000},
    "tiles": {"command": "tileset", "exemplar": RECORD["exemplars"][0], "key": "a", "part": 2, "tileset": {},
              "run": RECORD["run"], "versions": RECORD["versions"]},
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
def test_odd_records_are_one_sentence(place: Path, name: str) -> None:
    images.write(images.read(place / "a.png"), place / "odd.png", settings=json.dumps(RECORDS[name]))
    result = run_cli("replay", "odd.png")
    assert (result.exit_code, result.stdout) == (2, ""), result.stderr
    assert result.stderr.startswith("texsynth: ")
    assert result.stderr.count("\n") == 1
    assert len(result.stderr) < 300


ROWS = {
    "deep": '{"content": ' + "[" * 50_000,
    "infinity": '{"content": 1e999, "style": "a.png"}',
    "long content": '{"content": ' + "9" * 5000 + "}",
    "many keys": "{" + ",".join(f'"k{number}": 1' for number in range(MANY)) + "}",
    "long key": '{"' + "z" * 60_000 + '": 1}',
    "half": '{"content": "a\\ud800.png", "style": "a.png"}',
    "nul": '{"content": "a\\u0000.png", "style": "a.png"}',
    "null": '{"content": null, "style": "a.png"}',
    "weights": '{"command": "expand", "exemplars": ["a.png", "a.png"], "weights": [0, 0]}',
    "more weights": '{"command": "expand", "exemplars": ["a.png"], "weights": [1, 2]}',
    "infinite": '{"command": "expand", "exemplars": ["a.png"], "weights": [-1e308]}',
    "long key to set": '{"command": "expand", "exemplars": "a.png", "set": {"' + "9" * 5000 + '":1}}',
    "setting": '{"command": "expand", "exemplars": "a.png", "set": {"": 1}}',
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_odd_rows_are_one_sentence(place: Path, name: str) -> None:
    make_model(place / "tiny.safetensors")
    (place / "jobs.jsonl").write_text(ROWS[name])
    result = run_cli("batch", "jobs.jsonl", "-o", "out", "-n", "--model", "tiny.safetensors")
    assert result.exit_code in (2, 4), result.stderr
    assert result.stderr.startswith("texsynth: jobs.jsonl, line 1")
    assert result.stderr.count("\n") == 1
    assert len(result.stderr) < 400


@pytest.mark.parametrize(
    "setting", ["9" * 5000, "a." + "9" * 5000, "²", "patch.block", ".", "a..b", "\x1b", "z" * 60_000]
)
@pytest.mark.parametrize(
    "value", ["1", "1e999", "!!bool maybe", "9" * 5000, '"\\0"', "[" * 2000, "{a: 1, a: 2}", ""]
)
def test_odd_settings_are_one_sentence(place: Path, setting: str, value: str) -> None:
    result = run_cli("expand", "a.png", "-n", "--set", f"{setting}={value}")
    assert result.exit_code == 2, result.stderr
    assert result.stderr.startswith("texsynth: ")
    assert result.stderr.count("\n") == 1
