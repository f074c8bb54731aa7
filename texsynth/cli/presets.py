"""texsynth presets."""

import typer

from texsynth.cli import options
from texsynth.cli.printing import fits
from texsynth.cli.show import Screen, print_error
from texsynth.config.presets import SECTIONS, as_tree, load, names, resolve
from texsynth.errors import UsageError
from texsynth.strict_yaml import as_ascii, dump

app = typer.Typer(no_args_is_help=True, help="Named settings: see them, read them, check your own.")


@app.command("list")
def list_presets(as_json: options.Json = False) -> None:
    """List the presets that come with texsynth."""
    screen, width = Screen(as_json=as_json), max(map(len, names()))
    for name in names():
        preset = load(name)
        commands, description = list(preset.sections), preset.description
        line = f"{name:{width}}  {', '.join(commands)}: {description}"
        screen.result(line, name=name, commands=commands, description=description)


@app.command("show")
def show_preset(
    preset: str = options.argument(..., metavar="NAME|FILE", help="Name of a preset, or a YAML file."),
) -> None:
    """Show all settings of a preset, defaults included, as YAML that can be edited and used."""
    loaded = load(preset)
    sections = {name: as_tree(resolve(kind, loaded, [], {})) for name, kind in SECTIONS.items()}
    text = dump({"description": loaded.description, **sections})
    typer.echo(text if fits(text) else as_ascii(text), nl=False)


@app.command("validate")
def validate_presets(
    presets: list[str] = options.argument(..., metavar="NAME|FILE...", help="Presets to check."),
) -> None:
    """Check presets: keys, values, and what they extend."""
    failed = False
    for preset in presets:
        try:
            load(preset)
            Screen().result(f"{preset}: ok")
        except UsageError as error:
            failed = True
            print_error(str(error))
    if failed:
        raise typer.Exit(UsageError.exit_code)
