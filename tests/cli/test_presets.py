"""Presets: what ships is sound, what is wrong is named, and layers apply in their order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from texsynth.config import presets
from texsynth.config.preset_places import built_in
from texsynth.config.presets import load, resolve
from texsynth.config.settings import IFTSettings, Settings, StylizeSettings, WCTSettings, at_level
from texsynth.errors import UsageError
from texsynth.strict_yaml import MAX_BYTES, dump, parse


def settings(*sets: str, preset: str | None = None, **flags: object) -> StylizeSettings:
    return resolve(StylizeSettings, load(preset) if preset else None, sets, flags)


def written(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return str(path)


DEFAULTS = {"stylize": "artistic", "expand": "balanced", "decoder": "decoder"}
"""The preset of every command that equals its defaults."""


def shipped(section: str) -> dict[str, Settings]:
    """The presets that ship with settings for a command, resolved."""
    loaded = {name: load(name) for name in built_in()}
    kind = presets.SECTIONS[section]
    return {name: resolve(kind, p, [], {}) for name, p in loaded.items() if section in p.sections}


@pytest.mark.parametrize("name", built_in())
def test_every_shipped_preset_is_sound(name: str) -> None:
    preset = load(name)
    assert preset.description
    assert preset.sections


@pytest.mark.parametrize(("section", "name"), DEFAULTS.items())
def test_one_preset_of_a_command_holds_its_defaults(section: str, name: str) -> None:
    assert [n for n, s in shipped(section).items() if s == presets.SECTIONS[section]()] == [name]


@pytest.mark.parametrize("section", presets.SECTIONS)
def test_all_presets_differ(section: str) -> None:
    resolved = list(shipped(section).values())
    assert all(a != b for i, a in enumerate(resolved) for b in resolved[:i])


def test_enough_presets_ship() -> None:
    assert len(shipped("stylize")) >= 6
    assert {"fast", "balanced"} <= set(shipped("expand"))


def test_precedence(tmp_path: Path) -> None:
    path = written(tmp_path, "p", "stylize: {strength: 0.1, style_scale: 0.4, preserve_color: true}")
    found = settings("style_scale=0.3", "strength=0.3", preset=path, strength=0.4)
    assert (found.preserve_color, found.style_scale, found.strength) == (True, 0.3, 0.4)
    assert found.levels == StylizeSettings().levels


def test_extends_reaches_neighbours_and_shipped_presets(tmp_path: Path) -> None:
    written(tmp_path, "base", "extends: bold\nstylize: {strength: 0.5}")
    path = written(tmp_path, "top", "extends: base.yaml\nstylize: {transform: {name: ift, n_upd: 3}}")
    found = settings(preset=path)
    assert found.strength == 0.5
    assert found.transform == IFTSettings(pull=32.0, n_upd=3)
    assert load(path).description == load("bold").description


def test_another_transform_starts_from_its_own_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, "p", "extends: bold\nstylize: {transform: {name: wct, ridge: 0.5}}")
    assert settings(preset=path).transform == WCTSettings(ridge=0.5)
    assert settings(preset="bold", transform={"name": "wct"}).transform == WCTSettings()


def test_a_set_that_a_flag_makes_meaningless_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'pull' of transform wct; set transform\.name=ift as well"):
        settings("transform.pull=2", transform={"name": "wct"})


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("strength=7", "strength is 7 but must be a number from 0 to 1"),
        ("strenght=0.5", "unknown setting 'strenght'; did you mean 'strength'?"),
        ("transform.pul=1", "unknown setting 'pul' of transform ift; did you mean 'pull'?"),
        ("transform.pull=0", "transform.pull is 0 but must be a number more than 0"),
        ("transform.pull=x", "transform.pull is 'x' but must be a number"),
        (
            "transform.pull={9: 1}",
            "the key 9 of transform.pull is refused: input should be less than or equal",
        ),
        (
            "transform.pull={a: 1}",
            "the key 'a' of transform.pull is refused: input should be a valid integer",
        ),
        ("transform.pull={4: x}", "transform.pull.4 is 'x' but must be a number more than 0"),
        ("transform.pull.4=0", "transform.pull.4 is 0 but must be a number more than 0"),
        ("transform.pull=[1, 2]", "transform.pull is [1, 2] but must be a number more than 0"),
        ("transform.n_upd={4: 1.5}", "transform.n_upd.4 is 1.5 but must be a whole number from 1 to 1000"),
        ("transform.n_upd={0: 5}", "the key 0 of transform.n_upd is refused: input should be greater than"),
        ("transform.n_iter={4: 5}", "transform.n_iter is {4: 5} but must be a whole number from 1 to 100"),
        ("transform.name=foo", "transform 'foo' is unknown; use one of 'adain', 'wct', 'ot', 'ift'"),
        ("transform=wct", "transform is 'wct' but must be a mapping with a name"),
        ("mode=foto", "mode is 'foto' but must be one of artistic, photo"),
        ("levels=[1, 2]", "levels [1, 2] must go from coarse to fine"),
        ("levels=[9]", "levels.0 is 9 but must be a whole number from 1 to 5"),
        ("levels=3", "levels is 3 but must be a list"),
        ("level_strength.9=0.5", "the key 9 of level_strength is refused"),
        ("level_strength.4=3", "level_strength.4 is 3 but must be a number from 0 to 1"),
        ("preserve_color=on", "preserve_color is 'on' but must be true or false"),
        ("strength=.nan", "strength is nan but must be a number from 0 to 1"),
        ("strength", "is not of the form key=value"),
        ("=1", "is not of the form key=value"),
        ("strength={a: 1, a: 2}", "the key 'a' is given twice"),
    ],
)
def test_wrong_settings_are_one_clear_sentence(assignment: str, message: str) -> None:
    kind = ["transform.name=ift"] * (
        " ift" in message or re.match(r"transform\.(pull|n_)", assignment) is not None
    )
    with pytest.raises(UsageError) as caught:
        settings(*kind, assignment)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_by_level(tmp_path: Path) -> None:
    text = "extends: bold\nstylize: {transform: {name: ift, pull: {5: 1.0, 4: 2}, n_upd: {3: 40}}}"
    found = settings(
        "transform.pull.4=3", "transform.pull.1=5", preset=written(tmp_path, "p", text)
    ).transform
    assert found == IFTSettings(pull={5: 1.0, 4: 3.0, 1: 5.0}, n_upd={3: 40})
    assert at_level(found, 4) == IFTSettings(pull=3.0)
    assert at_level(found, 3) == IFTSettings(n_upd=40)
    assert at_level(IFTSettings(pull=2.0), 3) == IFTSettings(pull=2.0)
    assert settings("transform.pull=7", preset=str(tmp_path / "p.yaml")).transform == IFTSettings(
        pull=7.0, n_upd={3: 40}
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stylise: {}", "unknown key 'stylise'; did you mean 'stylize'?"),
        ("stylize: 3", "stylize must be a mapping, not 3"),
        ("description: 3", "description must be text, not 3"),
        ("- 1", "must be a mapping"),
        ("stylize: {strength: 2}", "p.yaml, line 1): strength is 2 but must be a number from 0 to 1"),
        ("extends: nosuch", "unknown preset 'nosuch'"),
        ("extends: artistc", "did you mean 'artistic'?"),
        ("extends: p.yaml", "in a circle: p -> p"),
        ("stylize: {strength: 1, strength: 1}", "the key 'strength' is given twice"),
        ("stylize: &a {levels: *a}", "aliases (*name) are not allowed"),
        ("stylize: !!python/object/apply:os.system [ls]", "is not valid YAML"),
        ("a: [", "is not valid YAML in line 1"),
        ("a: 1\n---\na: 2", "is not valid YAML"),
        ("x: " + "[" * 50 + "]" * 50, "levels are nested"),
        ("# " + "x" * MAX_BYTES, "is larger than 64 KiB"),
        ("stylize: {2024-01-01: 1}", "unknown setting '2024-01-01'"),
        ("? [1, 2]\n: 3", "is not valid YAML"),
        ("a: \x00", "is not valid YAML"),
    ],
)
def test_bad_preset_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(written(tmp_path, "p", text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_bytes_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(b"\xff\xfe\x00")
    for name in ("p.yaml", "none.yaml", "."):
        with pytest.raises(UsageError, match=r"cannot be read|does not exist|is a folder"):
            load(str(tmp_path / name))
    with pytest.raises(UsageError, match="unknown preset 'artistc'; did you mean 'artistic'"):
        load("artistc")


def test_circle_over_two_files(tmp_path: Path) -> None:
    written(tmp_path, "a", "extends: b.yaml")
    with pytest.raises(UsageError, match="circle: b -> a -> b"):
        load(written(tmp_path, "b", "extends: a.yaml"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5), ("1.5", 1.5), (".5", 0.5), ("-2", -2), ("1e3", 1000.0), ("0777", "0777"),
        ("true", True), ("on", "on"), ("1:30", "1:30"), ("~", None), ("", None), ("'1'", "1"),
        ("2024-01-01", "2024-01-01"), ("1_000", "1_000"), ("0x10", "0x10"), ("[1, 2.0]", [1, 2.0]),
    ],
)  # fmt: skip
def test_scalars_are_read_as_in_yaml_1_2(text: str, value: object) -> None:
    found = parse(text, source="test")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("section", presets.SECTIONS)
def test_resolved_settings_survive_yaml(section: str) -> None:
    for found in shipped(section).values():
        again = parse(dump(presets.as_tree(found)), source="test")
        assert presets.SECTIONS[section].model_validate(again) == found


def test_the_published_setting_of_ift() -> None:
    transform = settings(preset="ift-paper").transform
    assert isinstance(transform, IFTSettings)
    assert (transform.centred, transform.step, transform.rate) == (False, "fixed", 0.01)
    assert (transform.n_upd, transform.n_iter) == (15, 1)
    # lambda / n at 512 x 512, in units of 1 / (mean second moment of the features).
    published = {4: 1e2, 3: 1e2, 2: 1e3, 1: 1e4}
    assert isinstance(transform.pull, dict)
    for level, weight in published.items():
        assert 2 < transform.pull[level] * (512 >> (level - 1)) ** 2 / weight < 3.5
