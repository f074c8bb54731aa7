"""Presets of one's own: where they are found, what they may hold, and the commands that explain them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.cli import make_picture, run_cli
from typer.testing import CliRunner, Result

from texsynth.cli import app
from texsynth.config.preset_places import built_in, user_folders, users
from texsynth.config.preset_schema import preset_schema
from texsynth.config.preset_texts import rows, section_rows
from texsynth.config.presets import SECTIONS, as_tree, fitting, load, resolve
from texsynth.config.settings import StylizeSettings
from texsynth.errors import UsageError
from texsynth.images import embedded_settings
from texsynth.strict_yaml import parse


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders of presets, `mine` and `team`, in the current folder."""
    for name in ("mine", "team"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TEXSYNTH_PRESETS", f"{tmp_path / 'mine'}{os.pathsep}{tmp_path / 'team'}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def fine(*arguments: object) -> Result:
    result = run_cli(*arguments)
    assert result.exit_code == 0, result.output
    return result


def settings_of(name: str) -> StylizeSettings:
    return resolve(StylizeSettings, load(name), [], {})


def test_names_are_those_of_the_first_folder_then_of_texsynth(place: Path) -> None:
    put(place / "team" / "ours.yml", "stylize: {strength: 0.1}")
    put(place / "team" / "both.yaml", "stylize: {strength: 0.2}")
    put(place / "mine" / "both.yaml", "stylize: {strength: 0.3}")
    assert {name: path.parent.name for name, path in users().items()} == {"both": "mine", "ours": "team"}
    assert (settings_of("ours").strength, settings_of("both").strength) == (0.1, 0.3)
    assert {"both", "ours"} <= set(fitting("stylize"))


def test_without_the_variable_the_folder_is_that_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEXSYNTH_PRESETS")
    (folder,) = user_folders()
    assert folder.name == "presets"
    assert "texsynth" in folder.parts


def test_a_preset_may_stand_before_a_built_in_one_and_extend_it(place: Path) -> None:
    put(place / "mine" / "bold.yaml", "extends: bold\nstylize: {strength: 0.25}")
    put(place / "mine" / "artistic.yaml", "stylize: {grain: 0.9}")
    put(place / "mine" / "third.yaml", "extends: bold")
    assert (settings_of("bold").strength, settings_of("bold").style_scale) == (0.25, 1.5)
    assert settings_of("third").strength == 0.25
    # Built-in presets stay what the documentation says.
    assert settings_of("gentle").grain == StylizeSettings().grain
    line = next(line for line in fine("presets", "list").stdout.splitlines() if line.startswith("bold "))
    assert line.endswith(f"({place / 'mine' / 'bold.yaml'}, instead of the built-in one)")


def test_a_circle_over_names_is_refused(place: Path) -> None:
    put(place / "mine" / "a.yaml", "extends: b")
    put(place / "mine" / "b.yaml", "description: x\nextends: a")
    with pytest.raises(UsageError, match=r"b \(.*b\.yaml, line 2\).*circle: a -> b -> a"):
        load("a")


@pytest.mark.parametrize("name", ["color-only", "colour-only"])
def test_both_spellings_name_a_preset(place: Path, name: str) -> None:
    put(place / "mine" / "my-colour.yaml", "stylize: {preserve_colour: true}")
    assert load(name).name == "colour-only"
    assert settings_of("my-color").preserve_color
    sets = resolve(StylizeSettings, None, ["preserve_colour=true"], {})
    assert sets == resolve(StylizeSettings, None, [], {"preserve_colour": True})
    assert sets.preserve_color
    put(place / "twice.yaml", "stylize: {preserve_colour: true, preserve_color: true}")
    with pytest.raises(UsageError, match="are the same"):
        load("twice.yaml")


@pytest.mark.parametrize(
    ("base", "top", "message"),
    [
        ("stylize:\n  strenght: 1", "", "line 2), which top extends: unknown setting 'strenght'"),
        ("stylize:\n  levels: [1]\n  strength: 3", "", "base.yaml, line 3), which top extends: strength"),
        ("extends: bodl", "", "base.yaml, line 1): unknown preset 'bodl'"),
        ("x: 1", "", "base.yaml, line 1): unknown key 'x'"),
        ("stylize:\n  grain: 0.1", "stylize:\n  grain: 4", "top.yaml, line 3): grain is 4"),
        ("stylize: {transform: {name: ift}}", "stylize: {transform:\n  {pull: {4: x}}}", "line 3)"),
        ("run:\n  format: 3", "", "base.yaml, line 2), which top extends: format is 3"),
    ],
)
def test_faults_name_the_file_of_the_chain_and_the_line(
    place: Path, base: str, top: str, message: str
) -> None:
    put(place / "base.yaml", base)
    put(place / "top.yaml", f"extends: base.yaml\n{top}")
    result = run_cli("presets", "validate", "top.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_folder_is_checked_whole(place: Path) -> None:
    put(place / "mine" / "good.yaml", "stylize: {}")
    put(place / "mine" / "bad.yml", "stylize: 3")
    put(place / "mine" / "other.txt", "no preset")
    put(place / "mine" / "lost.yaml", "blend:\n  styles: [nowhere.png:0.5]")
    result = run_cli("presets", "validate", "mine")
    assert result.exit_code == 2
    assert result.stdout == f"{Path('mine') / 'good.yaml'}: ok\n"
    assert "lost.yaml, line 2): mine/nowhere.png does not exist" in result.stderr
    assert result.stderr.endswith("3 presets checked, 2 wrong\n")
    assert run_cli("presets", "validate").exit_code == 2
    assert "has no presets" in run_cli("presets", "validate", "team").stderr


def test_one_bad_preset_does_not_hide_the_others(place: Path) -> None:
    put(place / "mine" / "bad.yaml", "stylize: 3")
    result = fine("presets", "list")
    assert len(result.stdout.splitlines()) == len(built_in())
    assert "bad.yaml, line 1): stylize must be a mapping" in result.stderr
    assert "strength" in fine("presets", "explain", "strength").stdout


def test_show_says_what_is_set_and_where(place: Path) -> None:
    put(place / "mine" / "bold.yaml", "extends: bold\nstylize:\n  strength: 0.5\n  finish: {steps: 2}")
    text = fine("presets", "show", "bold").stdout
    own = re.escape(str(place / "mine" / "bold.yaml"))
    assert re.search(rf"^  strength: 0\.5 +# bold \({own}\), line 3; default 1\.0$", text, re.MULTILINE)
    assert re.search(r"^  style_scale: 1\.5 +# bold \(built in\), line 5; default 1\.0$", text, re.MULTILINE)
    assert re.search(r"^    steps: 2 +# bold", text, re.MULTILINE)
    assert "grain" not in text
    put(place / "shown.yaml", text)
    assert settings_of("shown.yaml") == settings_of("bold")


@pytest.mark.parametrize("name", built_in())
def test_what_is_shown_can_be_used(tmp_path: Path, name: str) -> None:
    preset = load(name)
    for more in ([], ["--all"]):
        text = fine("presets", "show", name, *more).stdout
        again = load(str(put(tmp_path / "again.yaml", text)))
        assert again.description == preset.description
        assert set(again.sections) == set(preset.sections)
        for section in preset.sections:
            kind = SECTIONS[section]
            assert resolve(kind, again, [], {}) == resolve(kind, preset, [], {})
    whole: Any = parse(text, source="shown")
    assert all(
        whole[section] == as_tree(resolve(SECTIONS[section], preset, [], {})) for section in preset.sections
    )


@pytest.mark.parametrize("start", [None, "bold", "best", "cascade", "photo"])
def test_a_new_preset_changes_nothing_until_its_lines_are_uncommented(place: Path, start: str | None) -> None:
    result = fine("presets", "new", "fresh", *(["--from", start] if start else []))
    path = place / "mine" / "fresh.yaml"
    assert result.stdout == f"{path}\n"
    text = path.read_text()
    schema = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert schema
    assert json.loads((path.parent / schema[1]).read_text()) == preset_schema()
    fresh = load("fresh")
    for section in fresh.sections:
        kind = SECTIONS[section]
        assert resolve(kind, fresh, [], {}) == resolve(kind, load(start) if start else None, [], {})
    uncommented = re.sub(r"^( *)# (?=[ #]*\w+:( |$)|  +## )", r"\1", text, flags=re.MULTILINE)
    put(place / "all.yaml", uncommented.replace("extends: artistic", "") if not start else uncommented)
    whole = load("all.yaml")
    assert {"blend", "run"} <= set(whole.sections)
    for section in fresh.sections:
        assert resolve(SECTIONS[section], whole, [], {}) == resolve(SECTIONS[section], fresh, [], {})
    assert len(whole.sections["run"]) == len(section_rows("run"))


@pytest.mark.parametrize("name", ["../x", "a/b", "x.yaml", "", ".", "a" * 80, "-x"])
def test_a_new_preset_has_a_plain_name(place: Path, name: str) -> None:
    assert run_cli("presets", "new", "--", name).exit_code == 2
    assert not list((place / "mine").iterdir())


def test_a_new_preset_replaces_none(place: Path) -> None:
    path = put(place / "mine" / "kept.yaml", "stylize: {strength: 0.1}")
    result = run_cli("presets", "new", "kept")
    assert result.exit_code == 5
    assert f"{path} exists" in result.stderr
    assert path.read_text() == "stylize: {strength: 0.1}"
    assert run_cli("presets", "new", "other", "--from", "bodl").exit_code == 2
    assert [p.name for p in (place / "mine").iterdir()] == ["kept.yaml"]


def test_a_new_preset_finds_a_file_that_it_extends(place: Path) -> None:
    put(place / "near.yaml", "stylize: {strength: 0.1}")
    fine("presets", "new", "far", "--from", "near.yaml")
    assert settings_of("far").strength == 0.1


def test_every_setting_is_explained() -> None:
    assert {row.section for row in rows()} == set(SECTIONS)
    for section, kind in SECTIONS.items():
        assert {key.partition(".")[0] for key in section_rows(section)} == set(kind.model_fields)


def test_explain_tells_range_default_commands_and_presets(place: Path) -> None:
    put(place / "mine" / "own.yaml", "stylize: {style_scale: 3.0}")
    for key in ("style_scale", "--style-scale", "stylize.style_scale"):
        text = fine("presets", "explain", key).stdout
        for part in ("stylize, blend", "0.25 to 8", "default: 1.0", "bold (1.5)", "own (3.0)"):
            assert part in text, (key, part)
    assert "preserve_color," in fine("presets", "explain", "preserve_colour").stdout
    assert fine("presets", "explain", "size").stdout.count("range:") == 3
    assert fine("presets", "explain", "transform").stdout.count("range:") > 5
    every = [json.loads(line) for line in fine("presets", "explain", "--json").stdout.splitlines()]
    assert len(every) == len(rows()) == len(fine("presets", "explain").stdout.splitlines())
    wrong = run_cli("presets", "explain", "style_scael")
    assert wrong.exit_code == 2
    assert "did you mean 'style_scale'?" in wrong.stderr


def test_the_schema_has_every_key_with_its_text() -> None:
    schema = json.loads(fine("presets", "schema").stdout)
    assert set(schema["properties"]) == {"description", "extends", *SECTIONS}
    assert "oneOf" not in json.dumps(schema)
    definitions = schema["$defs"]
    for section, kind in SECTIONS.items():
        name = schema["properties"][section]["anyOf"][0]["$ref"].rsplit("/", 1)[1]
        assert set(definitions[name]["properties"]) == set(kind.model_fields)
        assert definitions[name]["additionalProperties"] is False
        assert all("description" in field for key, field in definitions[name]["properties"].items()
                   if key in section_rows(section))  # fmt: skip


@pytest.fixture
def pictures(place: Path) -> Path:
    """Small pictures: a content here, styles and a mask in a folder of a preset."""
    (place / "looks").mkdir()
    for seed, name in enumerate(("photo.png", "looks/one.png", "looks/two.png", "looks/mask.png")):
        make_picture(place / name, seed=seed)
    return place


def test_a_preset_holds_the_styles_of_a_blend(pictures: Path, model: Path) -> None:
    put(
        pictures / "looks" / "mix.yaml",
        "stylize: {strength: 0.5}\n"
        'blend: {styles: ["one.png:2", "two.png@2,1"], masks: [mask.png, rest]}\n'
        f"run: {{model: {model}, seed: 7, device: cpu, dtype: float32}}",
    )
    fine("blend", "photo.png", "-p", "looks/mix.yaml", "-o", "a.png")
    options = ["--strength", 0.5, "--model", model, "--seed", 7, "--device", "cpu", "--dtype", "float32"]
    parts = ["--style", "looks/one.png:2", "--style", "looks/two.png@2,1", "--mask", "looks/mask.png"]
    fine("blend", "photo.png", *parts, "--mask", "rest", *options, "-o", "b.png")
    one, two = (embedded_settings(pictures / name) for name in ("a.png", "b.png"))
    assert one == two
    assert one
    assert "seed: 7" in one
    # What is given replaces the preset's, with the masks of these; the run is that of the preset.
    fine("blend", "photo.png", "-p", "looks/mix.yaml", "--style", "photo.png", "--seed", 3, "-o", "c.png")
    record = embedded_settings(pictures / "c.png") or ""
    assert "mask.png" not in record
    assert "seed: 3" in record
    # Results hold the settings themselves, whatever becomes of the preset.
    (pictures / "looks" / "mix.yaml").unlink()
    fine("replay", "a.png", "-o", "again.png")
    assert (pictures / "again.png").read_bytes() == (pictures / "a.png").read_bytes()
    assert "no style is given" in run_cli("blend", "photo.png").stderr


def test_a_preset_of_a_run_alone_goes_with_every_command(pictures: Path) -> None:
    put(pictures / "mine" / "jpegs.yaml", "run: {format: jpg, quality: 40, max_side: 20}")
    result = fine("stylize", "photo.png", "looks/one.png", "-p", "jpegs", "-v", "-n")
    assert "photo.one.jpg" in result.stdout
    assert f"preset jpegs: {pictures / 'mine' / 'jpegs.yaml'}" in result.stderr
    assert "photo.expand.jpg" in fine("expand", "photo.png", "-p", "jpegs", "-n").stdout
    assert "photo.expand.tif" in fine("expand", "photo.png", "-p", "jpegs", "--format", "tif", "-n").stdout


@pytest.mark.parametrize(
    ("preset", "arguments", "message"),
    [
        ("run: {format: gif}", ["stylize", "photo.png", "looks/one.png"], "run.format is 'gif'"),
        ("run: {model: none}", ["stylize", "photo.png", "looks/one.png"], "unknown model 'none'"),
        ("run: {seed: -1}", ["expand", "photo.png"], "line 1): seed is -1"),
        ("maps: {}\nrun: {seed: 1}", ["expand", "photo.png"], "has no settings for expand"),
        ("blend: {styles: [a]}", ["stylize", "photo.png", "looks/one.png"], "has no settings for stylize"),
        ("run: {seed: 1}\nborders: {}", ["train", "borders", "x", "--data", "."], "options of this command"),
    ],
)
def test_what_a_command_cannot_use_is_refused(
    pictures: Path, preset: str, arguments: list[str], message: str
) -> None:
    put(pictures / "mine" / "odd.yaml", preset)
    result = run_cli(*arguments, "-p", "odd")
    assert result.exit_code == 2
    assert message in result.stderr


def completed(words: str) -> list[str]:
    """What a shell offers for the last of the words."""
    words = f"texsynth {words}"
    environment = {"_TEXSYNTH_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split(" ")) - 1)
    return CliRunner(env=environment).invoke(app, [], prog_name="texsynth").stdout.split()


@pytest.mark.parametrize(
    ("words", "offered", "left_out"),
    [
        ("stylize -p ", {"bold", "photo"}, {"fast", "decoder"}),
        ("expand --preset ", {"fast", "best"}, {"bold"}),
        ("tile --set patch.", {"patch.block="}, {"method="}),
        ("stylize --set ", {"strength=", "transform.pull=", "finish.steps="}, {"method="}),
        ("stylize --model ", {"lite"}, {"borders"}),
        ("expand --transposer ", {"borders", "none"}, {"lite"}),
        ("presets show b", {"bold", "best", "balanced"}, {"photo"}),
    ],
)
def test_completion_offers_what_fits(words: str, offered: set[str], left_out: set[str]) -> None:
    answers = set(completed(words))
    assert offered <= answers
    assert not left_out & answers


def test_options_have_both_spellings(pictures: Path) -> None:
    for name in ("--preserve-colour", "--preserve-color", "--no-preserve-colour"):
        fine("stylize", "photo.png", "looks/one.png", name, "-n")
