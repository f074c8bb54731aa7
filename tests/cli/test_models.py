"""texsynth models: what is in the cache is whole, is what was fetched, and can be used by name."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.cli import make_picture, names, run_cli
from helpers.faults import environment, linux
from helpers.http_server import PROXIES, Site, serving
from helpers.nets import WIDTHS, tiny_tensors
from helpers.published import sequential_encoder
from helpers.waiting import PATIENCE, until
from safetensors.torch import save, save_file

from texsynth.errors import ModelError
from texsynth.models.checkpoints.families import Converted
from texsynth.models.hub import download
from texsynth.models.hub.cache import file_hash, is_sound, record_hash
from texsynth.models.hub.fetch import Cache, fetch, joined, model_file
from texsynth.models.registry import load_model
from texsynth.models.weights import read_weights

TENSORS = tiny_tensors()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of the test, not yet made."""
    for name in (*PROXIES, "TEXSYNTH_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "PAUSES", (0.01,))
    monkeypatch.setenv("TEXSYNTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture
def site() -> Iterator[Site]:
    """A mirror with a model."""
    with serving(save(TENSORS, {"licence": "MIT"})) as site:
        site.url = site.url.replace("weights.bin", "tiny.safetensors")
        yield site


def models(cache: Path) -> list[str]:
    """What is in the cache, but for locks."""
    return [name for name in names(cache) if not name.startswith(".")]


def check_fetch_works(site: Site, cache: Path) -> None:
    result = run_cli("models", "fetch", "good", "--url", site.url)
    assert result.exit_code == 0, result.stderr
    assert models(cache) == ["SHA256SUMS", "fetched.json", "good.safetensors"]
    assert run_cli("models", "verify", "good").exit_code == 0


def test_a_fetched_model_is_kept_as_it_is_and_used_by_name(site: Site, cache: Path, tmp_path: Path) -> None:
    fetched = run_cli("models", "fetch", "tiny", "--url", site.url, "--json")
    assert fetched.exit_code == 0, fetched.stderr
    row = json.loads(fetched.stdout)
    assert (row["name"], row["levels"], row["photo"]) == ("tiny", [1, 2, 3, 4, 5], True)
    tensors, header = read_weights(cache / "tiny.safetensors")
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[key], value) for key, value in TENSORS.items())
    assert header["licence"] == "MIT"
    assert f"fetched from: {site.url}\n" in run_cli("models", "show", "tiny").stdout
    model = load_model("tiny")
    assert (model.name, model.sha256, model.encoder.widths) == ("tiny", row["sha256"], WIDTHS)
    assert names(cache) == [".lock", ".tiny.lock", "SHA256SUMS", "fetched.json", "tiny.safetensors"]
    content, style = make_picture(tmp_path / "a.png"), make_picture(tmp_path / "b.png", seed=1)
    made = run_cli("stylize", content, style, "-o", "out.png", "--model", "tiny")
    assert made.exit_code == 0, made.stderr


def test_a_model_that_is_there_is_not_fetched_again(site: Site, cache: Path) -> None:
    flags = ("models", "fetch", "tiny", "--url", site.url)
    run_cli(*flags)
    again = run_cli(*flags)
    assert (again.exit_code, len(site.requests)) == (0, 1)
    assert "is in the cache already" in again.stderr
    assert run_cli(*flags, "--force").exit_code == 0
    assert len(site.requests) == 2


def test_a_model_is_the_same_file_however_it_came(site: Site, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_bytes(site.body)
    run_cli("models", "fetch", "tiny", "--url", site.url)
    run_cli("models", "import", "mine.safetensors")
    assert load_model("tiny").sha256 == load_model("mine").sha256 == load_model("mine.safetensors").sha256
    header = {"licence": "CC BY 4.0", "sources": "[]", "note": "x", "other": "y"}
    one = Converted("vgg_normalised", "vgg19", TENSORS, header)
    two = replace(one, tensors=dict(reversed(TENSORS.items())), header=dict(reversed(header.items())))
    assert model_file(one, []) == model_file(two, [])
    assert b"pytorch-AdaIN/releases" in model_file(one, [])


def test_a_damaged_model_is_found_and_fetched_again(site: Site, cache: Path) -> None:
    flags = ("models", "fetch", "tiny", "--url", site.url)
    run_cli(*flags)
    path = cache / "tiny.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    checked = run_cli("models", "verify")
    assert checked.exit_code == 6
    assert "tiny: damaged (cached)\n" in checked.stdout
    assert "lite: ok (embedded)\n" in checked.stdout
    assert "tiny is missing or not as it was stored" in checked.stderr
    with pytest.raises(ModelError, match=r"not as it was stored \(see `texsynth models verify`\); fetch"):
        load_model("tiny")
    assert run_cli(*flags).exit_code == 0
    assert run_cli("models", "verify", "tiny").exit_code == 0
    assert load_model("tiny").sha256 == file_hash(path)
    path.unlink()
    assert run_cli("models", "verify", "tiny").exit_code == 6
    assert run_cli("models", "remove", "tiny").exit_code == 0
    assert run_cli("models", "verify").exit_code == 0


def test_an_address_that_gives_other_bytes_than_before(site: Site, cache: Path) -> None:
    flags = ("models", "fetch", "tiny", "--url", site.url, "--force")
    run_cli(*flags)
    before = {name: file_hash(cache / name) for name in models(cache)}
    site.body, site.etag = save(tiny_tensors(seed=1)), '"two"'
    changed = run_cli(*flags)
    assert changed.exit_code == 6
    assert "has changed since model tiny was fetched" in changed.stderr
    assert run_cli("models", "fetch", "other", "--url", site.url).exit_code == 6
    assert {name: file_hash(cache / name) for name in models(cache)} == before
    assert run_cli("models", "remove", "tiny").exit_code == 0
    assert run_cli(*flags).exit_code == 0


def test_another_network_does_not_become_vgg19(site: Site, cache: Path, tmp_path: Path) -> None:
    """No hash of it is published, but its layers have known norms."""
    torch.save(sequential_encoder(5, whole=True).state_dict(), tmp_path / "other.pth")
    site.body = (tmp_path / "other.pth").read_bytes()
    address = site.url.rpartition("/")[0] + "/other.pth"
    result = run_cli("models", "fetch", "vgg19", "--url", address)
    assert result.exit_code == 6
    assert "is another network (vgg-sequential) than vgg19 (vgg_normalised)" in result.stderr
    assert models(cache) == []
    assert run_cli("models", "fetch", "own", "--url", address).exit_code == 0


def test_bytes_that_are_not_the_published_ones(site: Site, cache: Path) -> None:
    result = run_cli("models", "fetch", "vgg19-torchvision", "--url", site.url)
    assert result.exit_code == 6
    assert "must begin with dcbb9e9d" in result.stderr
    assert models(cache) == []
    check_fetch_works(site, cache)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"status": 404}, "is refused (404"),
        ({"status": 403}, "is refused (403"),
        ({"type": "text/html"}, "gives a web page"),
        ({"body": b"<html>log in</html>"}, "gives a web page"),
        ({"body": b"not weights at all"}, ""),
        ({"body": b""}, ""),
        ({"body": save({"conv.weight": torch.zeros(1)})}, ""),
        ({"cuts": [5000, 5000]}, "was cut off 2 times"),
    ],
)
def test_what_is_no_model_is_not_kept(site: Site, cache: Path, fault: dict[str, object], words: str) -> None:
    good = {key: getattr(site, key) for key in fault}
    for key, value in fault.items():
        setattr(site, key, value)
    result = run_cli("models", "fetch", "good", "--url", site.url)
    assert result.exit_code == 6
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert [name for name in models(cache) if not name.startswith("good.part/")] == []
    for key, value in good.items():
        setattr(site, key, value)
    check_fetch_works(site, cache)


def test_a_stalled_server(site: Site, cache: Path) -> None:
    site.gate = threading.Event()
    result = run_cli("models", "fetch", "good", "--url", site.url, "--timeout", 0.3)
    assert (result.exit_code, "has sent nothing for 0.3 s" in result.stderr) == (6, True)
    assert "good.safetensors" not in models(cache)
    site.gate.set()
    check_fetch_works(site, cache)


def test_without_the_network(site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline = run_cli("models", "fetch", "good", "--url", site.url, "--offline")
    assert (offline.exit_code, "--offline" in offline.stderr, cache.exists()) == (6, True, False)
    monkeypatch.setenv("TEXSYNTH_OFFLINE", "1")
    assert run_cli("models", "fetch", "vgg19").exit_code == 6
    assert site.requests == []
    monkeypatch.setenv("TEXSYNTH_OFFLINE", "0")
    check_fetch_works(site, cache)
    monkeypatch.setenv("TEXSYNTH_OFFLINE", "1")
    assert run_cli("models", "fetch", "good", "--url", site.url).exit_code == 0


def test_a_proxy_is_used(site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, site.url.rsplit("/", 2)[0])
    result = run_cli("models", "fetch", "tiny", "--url", "http://models.invalid/tiny.safetensors")
    assert result.exit_code == 0, result.stderr
    assert site.requests[0][0] == "http://models.invalid/tiny.safetensors"


def test_a_password_in_the_address_is_not_shown_or_kept(site: Site, cache: Path) -> None:
    secret = site.url.replace("http://", "http://me:hush@")
    assert run_cli("models", "fetch", "tiny", "--url", secret).exit_code == 0
    site.status = 404
    failed = run_cli("models", "fetch", "tiny", "--url", secret, "--force")
    assert (failed.exit_code, "hush" in failed.stderr) == (6, False)
    assert b"hush" not in b"".join(
        (cache / name).read_bytes() for name in ("tiny.safetensors", "fetched.json")
    )


@pytest.mark.slow
def test_two_at_once_download_once(site: Site, cache: Path) -> None:
    site.gate = threading.Event()
    command = [sys.executable, "-m", "texsynth", "models", "fetch", "tiny", "--url", site.url]
    command += ["--timeout", str(PATIENCE)]  # The first one waits until the second has started

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    first = begin()
    assert site.asked.wait(PATIENCE)
    second = begin()
    assert second.stderr is not None
    assert "another texsynth is at model tiny; waiting for it" in second.stderr.readline()
    site.gate.set()
    for process in (first, second):
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
    assert len(site.requests) == 1
    assert models(cache) == ["SHA256SUMS", "fetched.json", "tiny.safetensors"]


def test_a_killed_download_goes_on(site: Site, cache: Path) -> None:
    site.gate = threading.Event()
    site.body = save({**TENSORS, "extra": torch.zeros(100_000)})
    command = [sys.executable, "-m", "texsynth", "models", "fetch", "tiny", "--url", site.url]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE)
    part = cache / "tiny.part" / "tiny.safetensors"
    assert site.asked.wait(PATIENCE)
    until(lambda: process.poll() is not None or (part.is_file() and part.stat().st_size))
    assert process.poll() is None
    process.kill()
    process.communicate()
    assert "tiny" not in run_cli("models", "list").stdout
    site.gate.set()
    assert run_cli("models", "fetch", "tiny", "--url", site.url).exit_code == 0
    assert site.ranges_asked[-1] is not None
    assert torch.equal(read_weights(cache / "tiny.safetensors")[0]["extra"], torch.zeros(100_000))


@linux
def test_a_full_disk(site: Site, cache: Path) -> None:
    part = cache / "good.part"
    part.mkdir(parents=True)
    (part / "state.json").write_text(json.dumps({"url": site.url, "validator": ""}))
    (part / "tiny.safetensors").symlink_to("/dev/full")
    result = run_cli("models", "fetch", "good", "--url", site.url)
    assert (result.exit_code, "is full; make room" in result.stderr) == (6, True)
    assert "good.safetensors" not in models(cache)
    (part / "tiny.safetensors").unlink()
    check_fetch_works(site, cache)


def test_a_cache_that_cannot_be_made(site: Site, cache: Path, tmp_path: Path) -> None:
    cache.write_text("a file")
    save_file(TENSORS, tmp_path / "tiny.safetensors")
    for command in (("fetch", "good", "--url", site.url), ("import", "tiny.safetensors")):
        result = run_cli("models", *command)
        assert (result.exit_code, result.stderr.count("\n")) == (6, 1)
        assert "TEXSYNTH_CACHE" in result.stderr
    assert (cache.read_text(), site.requests) == ("a file", [])
    assert run_cli("models", "list").exit_code == 0
    cache.unlink()
    check_fetch_works(site, cache)


def test_reading_never_makes_the_cache(cache: Path) -> None:
    rows = [json.loads(line) for line in run_cli("models", "list", "--json").stdout.splitlines()]
    assert {row["name"]: row["source"] for row in rows} == {
        "lite": "embedded", "borders": "embedded", "vgg19": "available", "vgg19-torchvision": "available"
    }  # fmt: skip
    assert rows[0]["levels"] == [1, 2, 3, 4, 5]
    assert run_cli("models", "verify").exit_code == 0
    assert run_cli("models", "show", "lite").exit_code == 0
    assert not cache.exists()


def test_import_keeps_a_model_under_its_name_or_another(cache: Path, tmp_path: Path) -> None:
    save_file({k: v for k, v in TENSORS.items() if "decoder5" not in k}, tmp_path / "mine.safetensors")
    first = run_cli("models", "import", "mine.safetensors", "--json")
    assert first.exit_code == 0, first.stderr
    assert [json.loads(first.stdout)[key] for key in ("name", "levels")] == ["mine", [1, 2, 3, 4]]
    taken = run_cli("models", "import", "mine.safetensors")
    assert (taken.exit_code, "--force" in taken.stderr) == (5, True)
    assert run_cli("models", "import", "mine.safetensors", "--force").exit_code == 0
    assert run_cli("models", "import", "mine.safetensors", "--name", "vgg19").exit_code == 0
    with pytest.raises(ModelError, match="texsynth train decoder --model vgg19 --level 5 --data PICTURES"):
        load_model("vgg19").decoder(5)
    shown = run_cli("models", "show", "vgg19").stdout
    assert f"widths: {' '.join(map(str, WIDTHS))}\n" in shown
    assert "decoders: levels 1 2 3 4, photo\n" in shown
    assert f"sha256: {file_hash(cache / 'vgg19.safetensors')}\n" in shown
    assert run_cli("models", "remove", "mine", "vgg19").exit_code == 0
    assert models(cache) == ["SHA256SUMS", "fetched.json"]
    assert run_cli("models", "remove", "mine").exit_code == 2


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch executed",)


def test_damaged_and_malicious_files_are_refused_and_run_nothing(cache: Path, tmp_path: Path) -> None:
    whole = save(TENSORS)
    torch.save({"0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    for name, data in {
        "truncated.safetensors": whole[:-100],
        "header.safetensors": whole[:50],
        "text.safetensors": b"weights",
        "empty.safetensors": b"",
        "huge.safetensors": (2**62).to_bytes(8, "little") + whole[8:],
        "nan.safetensors": save({**TENSORS, "encoder.conv1_1.bias": torch.full((WIDTHS[0],), torch.nan)}),
        "cut.pth": (tmp_path / "other.pth").read_bytes()[:-200],
        "evil.pth": pickle.dumps(_Evil()),
        "evil2.pth": pickle.dumps({"0.weight": _Evil()}, 2),
        "text.pth": b"weights",
    }.items():
        (tmp_path / name).write_bytes(data)
        result = run_cli("models", "import", name, "--name", "x")
        assert (result.exit_code, result.stderr.count("\n")) == (6, 1), (name, result.stderr)
    assert run_cli("models", "import", "other.pth").exit_code == 6
    assert run_cli("models", "import", "absent.pth").exit_code == 6
    assert not (tmp_path / "executed").exists()
    assert models(cache) == []
    os.system(_Evil().__reduce__()[1][0])
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "name", ["lite", "LITE", "../up", "a/b", ".hidden", "", "nul.x", "a.safetensors", "ä"]
)
def test_names_that_are_no_file_names_or_taken(name: str, cache: Path, tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "tiny.safetensors")
    assert run_cli("models", "import", "tiny.safetensors", "--name", name).exit_code == 2
    assert run_cli("models", "fetch", name, "--url", "http://127.0.0.1:9/x").exit_code == 2
    assert not cache.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("fetch", "vgg91"),
        ("fetch", "tiny", "--url", "file:///etc/passwd"),
        ("fetch", "tiny", "--url", "http://[::1/x"),
        ("fetch", "vgg19", "--timeout", "0"),
        ("show", "vgg91"),
        ("verify", "vgg19"),
        ("remove", "lite"),
        ("remove", "vgg19"),
    ],
)
def test_wrong_arguments_are_usage_errors(arguments: tuple[str, ...], cache: Path) -> None:
    result = run_cli("models", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert not cache.exists()


def test_a_model_that_is_not_fetched_is_told_before_the_work(tmp_path: Path, model: Path) -> None:
    content, style = make_picture(tmp_path / "a.png"), make_picture(tmp_path / "b.png", seed=1)
    flags = ("stylize", content, style, "-o", "out.png", "--model")
    missing = run_cli(*flags, "vgg19")
    assert (missing.exit_code, (tmp_path / "out.png").exists()) == (6, False)
    assert "fetch it with `texsynth models fetch vgg19`" in missing.stderr
    unknown = run_cli(*flags, "vgg91")
    assert (unknown.exit_code, "did you mean 'vgg19'?" in unknown.stderr) == (2, True)
    run_cli("models", "import", model, "--name", "vgg19")
    assert run_cli(*flags, "vgg19").exit_code == 0
    run_cli("models", "remove", "vgg19")
    replayed = run_cli("replay", "out.png", "-o", "again.png")
    assert (replayed.exit_code, "texsynth models fetch vgg19" in replayed.stderr) == (6, True)


def test_doctor_checks_the_cache(cache: Path, model: Path) -> None:
    run_cli("models", "import", model, "--name", "vgg19")
    assert "vgg19.safetensors" in run_cli("doctor").stdout
    (cache / "vgg19.safetensors").write_bytes(b"")
    result = run_cli("doctor", "--json")
    bad = [json.loads(line) for line in result.stdout.splitlines() if '"bad"' in line]
    assert result.exit_code == 6
    assert [row["text"].split()[0] for row in bad] == ["vgg19.safetensors"]


def make_decoders(folder: Path) -> Path:
    """An assets folder with decoders of levels 1 to 4."""
    folder.mkdir()
    kept = ("decoder1.", "decoder2.", "decoder3.", "decoder4.", "photo.")
    tensors = {key: value.half() for key, value in TENSORS.items() if key.startswith(kept)}
    save_file(tensors, folder / "vgg19-decoders.safetensors", {"licence": "MIT"})
    record_hash(folder / "vgg19-decoders.safetensors")
    return folder


def test_embedded_decoders_are_joined_to_their_encoder(tmp_path: Path) -> None:
    assets = make_decoders(tmp_path / "assets")
    encoder = {k: v for k, v in TENSORS.items() if k.startswith(("encoder", "decoder2"))}
    encoder["decoder2.inv1_1.bias"] = torch.ones(3)
    alone = Converted("vgg_normalised", "vgg19", encoder, {"licence": "CC BY 4.0"})
    both = joined(alone, assets)
    assert {key.split(".")[0] for key in both.tensors} == {
        "encoder", "decoder1", "decoder2", "decoder3", "decoder4", "photo"
    }  # fmt: skip
    assert torch.equal(both.tensors["decoder2.inv1_1.bias"], torch.ones(3))
    assert both.header["joined"].startswith("decoder1, decoder3, decoder4, photo from vgg19-decoders")
    assert file_hash(assets / "vgg19-decoders.safetensors") in both.header["joined"]
    assert (both.header["licence"], both.header["joined.licence"]) == ("CC BY 4.0", "MIT")
    (tmp_path / "both.safetensors").write_bytes(model_file(both, [], assets))
    model = load_model(str(tmp_path / "both.safetensors"))
    assert (sorted(model.decoders), model.photo is not None) == ([1, 2, 3, 4], True)
    # An earlier version joined what it had.
    with pytest.raises(
        ModelError, match="no decoder for level 5; get it with `texsynth models import --force`"
    ):
        model.decoder(5)
    assert joined(alone, tmp_path / "none") is alone
    other = Converted("pytorch-wct", "pytorch-wct", encoder, {})
    assert joined(other, assets) is other
    with (assets / "vgg19-decoders.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="reinstall"):
        joined(alone, assets)


def test_the_layer_below_tells_what_it_does(site: Site, cache: Path) -> None:
    notes: list[str] = []
    seen: list[tuple[int, int | None]] = []
    shop = Cache(cache, on_note=notes.append, on_bytes=lambda done, total: seen.append((done, total)))
    path = fetch("tiny", site.url, shop)
    assert is_sound(path)
    assert seen[-1] == (len(site.body), len(site.body))
    assert notes == []
    assert fetch("tiny", site.url, shop) == path
    assert len(notes) == 1


def test_light_model_commands_do_not_import_torch(cache: Path, tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "tiny.safetensors")
    run_cli("models", "import", "tiny.safetensors")
    lines = [
        "models --help", "models list", "models show tiny", "models verify", "models fetch lite",
        "models fetch vgg91", "models import x.pth --name a/b", "models remove tiny", "models remove tiny",
        "stylize a.png b.png --model vgg91", "stylize a.png b.png --model vgg19",
    ]  # fmt: skip
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom texsynth.cli import app\n"
        f"for line in {lines!r}:\n"
        "    print(line, CliRunner().invoke(app, line.split()).exit_code)\n"
        "    assert 'torch' not in sys.modules, line\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [int(line.split()[-1]) for line in done.stdout.splitlines()] == [0, 0, 0, 0, 2, 2, 2, 0, 2, 2, 6]
