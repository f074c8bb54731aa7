"""texsynth presets."""

import json
import re
from pathlib import Path

import typer

from texsynth.cli import options
from texsynth.cli.completion import complete_preset
from texsynth.cli.printing import fits, printable
from texsynth.cli.show import Screen, print_error
from texsynth.config.preset_places import (
    SUFFIXES,
    hidden_by,
    is_built_in,
    names,
    preset_files,
    user_folders,
)
from texsynth.config.presets import Preset, load
from texsynth.errors import OutputError, UsageError
from texsynth.paths import FOLDER, exists, is_folder, is_taken, unreadable, why
from texsynth.strict_yaml import as_ascii, inline

app = typer.Typer(
    no_args_is_help=True, help="Named settings: see them, make your own, and what each setting does."
)

NAME = re.compile(r"\w[\w.-]{0,63}")


@app.command("list")
def list_presets(as_json: options.Json = False) -> None:
    """List all presets, yours with the files that they are in.

    texsynth presets list
    """
    screen, width, wrong = Screen(as_json=as_json), max(map(len, names())), []
    for name in names():
        try:
            preset = load(name)
        except UsageError as error:
            wrong.append(str(error))
            continue
        commands, description, path = list(preset.sections), preset.description, preset.files[0].path
        line = f"{name:{width}}  {', '.join(commands)}: {description}"
        yours: dict[str, object] = {}
        if not is_built_in(path):
            yours = {"path": str(path), "instead_of_built_in": hidden_by(path) is not None}
            line += f" ({path}{', instead of the built-in one' if hidden_by(path) else ''})"
        screen.result(line, name=name, commands=commands, description=description, **yours)
    for message in wrong:
        print_error(message)


@app.command("show")
def show_preset(
    preset: str = options.argument(
        ...,
        metavar="NAME|FILE",
        help="Name of a preset, or a YAML file.",
        autocompletion=complete_preset,
    ),
    complete: bool = options.option(False, "--all", help="Also what it leaves at the defaults."),
) -> None:
    """Show what a preset sets, and in which file each setting stands, as YAML that can be used.

    texsynth presets show bold
    """
    from texsynth.cli.preset_text import preset_text

    text = preset_text(load(preset), complete=complete)
    typer.echo(text if fits(text) else as_ascii(text), nl=False)


@app.command("explain", context_settings={"ignore_unknown_options": True})
def explain_setting(
    key: str | None = options.argument(
        None, metavar="KEY", help="A setting, a group, or a section of a preset. Default: all, briefly."
    ),
    as_json: options.Json = False,
) -> None:
    """Explain a setting: what it does, its range and default, which commands take it, which presets set it.

    texsynth presets explain style_scale
    """
    from texsynth.config.preset_texts import COMMANDS, explained, rows
    from texsynth.config.presets import sound

    screen = Screen(as_json=as_json)
    if key is None and not as_json:
        for row in rows():
            screen.result(f"{row.section}.{row.key}  {row.text.split('. ')[0].rstrip('.')}")
        return
    presets = sound()
    for number, row in enumerate(explained(key) if key else rows()):
        commands, values = COMMANDS[row.section], _values(presets, row.section, row.key)
        screen.result(
            *([""] if number else []),
            f"{row.key}, for {', '.join(commands)}",
            f"  {row.text}",
            f"  range: {row.range}; default: {row.default}",
            f"  in a preset: {row.section}.{row.key}"
            + (f"; or --set {row.key}=..." if row.section not in ("run", "blend") else ""),
            *([f"  set by: {', '.join(f'{n} ({inline(v)})' for n, v in values.items())}"] if values else ()),
            key=row.key, section=row.section, commands=list(commands), text=row.text, range=row.range,
            default=row.default, presets=values,
        )  # fmt: skip


@app.command("new")
def new_preset(
    name: str = options.argument(..., metavar="NAME", help="Its name, without a suffix."),
    start: str | None = options.option(
        None,
        "--from",
        metavar="PRESET",
        help="A preset to start from: it stays below what yours changes.",
        autocompletion=complete_preset,
    ),
) -> None:
    """Write a preset of your own into your folder, with every setting explained and commented out.

    texsynth presets new mine --from bold
    """
    from texsynth.cli.preset_text import SCHEMA, new_text
    from texsynth.config.preset_schema import preset_schema
    from texsynth.images.files import store

    if not NAME.fullmatch(name) or name.endswith(SUFFIXES):
        raise UsageError(
            f"a preset cannot be called {name!r}; use letters, digits, dashes and dots, no suffix"
        )
    text = new_text(name, start)
    folder = user_folders()[0]
    path, schema = folder / f"{name}{SUFFIXES[0]}", folder / SCHEMA
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {why(error)}") from None
    if is_taken(path):
        raise OutputError(f"{path} exists; choose another name, or edit that file")
    store(text.encode(), path)
    store((json.dumps(preset_schema(), indent=1) + "\n").encode(), schema, force=True)
    screen = Screen()
    screen.result(str(path))
    instead = ", and stands before the built-in one of that name" if hidden_by(path) else ""
    screen.note(f"edit it, then use it with -p {name}{instead}")


@app.command("schema")
def show_schema() -> None:
    """Print the JSON schema of presets, by which editors complete and check them.

    texsynth presets schema
    """
    from texsynth.config.preset_schema import preset_schema

    typer.echo(json.dumps(preset_schema(), indent=1))


@app.command("validate")
def validate_presets(
    presets: list[str] | None = options.argument(
        None, metavar="NAME|FILE|FOLDER", help="Presets to check. Default: those in your folder."
    ),
) -> None:
    """Check presets: keys, values, what they extend, and the files that they name.

    texsynth presets validate mine.yaml
    """
    screen, wrong, files = Screen(), 0, []
    for preset in presets or [str(folder) for folder in user_folders() if is_folder(folder)]:
        # No name is the current folder's, either.
        if not preset or not is_folder(Path(preset)):
            files.append(preset)
            continue
        inside = preset_files(Path(preset))
        if not inside:
            wrong += 1
            reason = unreadable(Path(preset)).removeprefix(FOLDER) or " has no presets, which are .yaml files"
            print_error(f"the folder {preset}{reason}")
        files += [str(path) for path in inside]
    for file in files:
        try:
            _check_files(load(file))
            screen.result(f"{file}: ok")
        except UsageError as error:
            wrong += 1
            print_error(str(error))
    if not files and not wrong:
        screen.note(f"there are no presets of yours in {', '.join(map(str, user_folders()))}")
    elif len(files) != 1 or wrong > 1:
        screen.note(f"{len(files)} presets checked, {wrong} wrong")
    if wrong:
        raise typer.Exit(UsageError.exit_code)


def _check_files(preset: Preset) -> None:
    """Raise UsageError for a picture that the preset names and that is not there."""
    blend = preset.sections.get("blend")
    if not blend:
        return
    from texsynth.config.shared_settings import REST
    from texsynth.jobs.blend_inputs import style_argument

    for key in ("styles", "masks", "style_labels", "content_labels"):
        value = blend.get(key) or ()
        for text in [value] if isinstance(value, str) else value:
            path = style_argument(text).path if key == "styles" else text
            if text != REST and not exists(Path(path)):
                raise UsageError(f"{preset.at('blend', (key,))}: {printable(path)} does not exist")


def _values(presets: dict[str, Preset], section: str, key: str) -> dict[str, object]:
    """Return the values of a setting in the presets that set it."""
    values: dict[str, object] = {}
    for name, preset in presets.items():
        value: object = preset.sections.get(section)
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            values[name] = value
    return values
