"""Entries of a manifest: which pictures, styles and settings they name, and the jobs that they become."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field

from texsynth.config.map_kinds import Declared
from texsynth.config.map_settings import MapsSettings, TilesetSettings
from texsynth.config.preset_places import is_file_name
from texsynth.config.presets import Tree, keys_of
from texsynth.config.settings import ExpandSettings, Settings, StylizeSettings
from texsynth.config.validation import nearest, validate
from texsynth.errors import InputError, UsageError
from texsynth.images import SUFFIXES
from texsynth.jobs.blend_inputs import BlendJob, StylizeJob, check_spec, make_spec
from texsynth.jobs.expand_inputs import MAPS, Task, expand_job, plan_tasks
from texsynth.jobs.inputs import CARD_SUFFIX, PIPE, Input, Job, find_inputs
from texsynth.jobs.map_inputs import maps_job
from texsynth.jobs.material_tasks import with_materials
from texsynth.jobs.materials import find_materials
from texsynth.jobs.tileset_inputs import tileset_job
from texsynth.paths import exists


def as_tuple(value: object) -> object:
    """Make a tuple of a list or of a single value; anything else stays, to be refused later."""
    if isinstance(value, str | int | float):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Text = Annotated[str, Field(min_length=1)]

Texts = Annotated[tuple[Text, ...], BeforeValidator(as_tuple)]

SomeTexts = Annotated[Texts, Field(min_length=1)]

Numbers = Annotated[tuple[Annotated[float, Field(ge=0)], ...], BeforeValidator(as_tuple)]


class Group(Settings):
    """An entry of `jobs:` for any command: every content, or exemplar, is done with every preset."""

    presets: Texts = ()
    changes: Annotated[dict[str, Any], Field(alias="set", default_factory=dict)]
    recursive: bool = False
    output: Text | None = None  # The name of the only result, when no template decides it


class StylizeGroup(Group):
    """Every content gets every style."""

    command: Literal["stylize"] = "stylize"
    contents: SomeTexts
    styles: SomeTexts


class BlendGroup(Group):
    """Every content gets one blend of all styles, each like `PATH[:WEIGHT][@LEVELS]`."""

    command: Literal["blend"]
    contents: SomeTexts
    styles: SomeTexts
    masks: Texts = ()
    content_labels: Text | None = None
    style_labels: Texts = ()
    sequential: bool = False
    feather: Annotated[int, Field(ge=0)] = 4


class TextureGroup(Group):
    """Every exemplar is expanded or made seamless, or all are mixed into one."""

    command: Literal["expand", "tile"]
    exemplars: SomeTexts
    siblings: Annotated[Texts, Field(alias="with")] = ()
    normals: Annotated[Texts, Field(alias="with_normal")] = ()
    mask: Text | None = None
    guide: Text | None = None
    guide_of: Text | None = None
    hole: Text | None = None
    mix: bool = False
    weights: Numbers = ()
    count: Annotated[int, Field(ge=1, le=9999)] = 1


class MapsGroup(Group):
    """Every picture gets its maps."""

    command: Literal["maps"]
    pictures: SomeTexts


class TilesetGroup(Group):
    """Every exemplar gets its tiles."""

    command: Literal["tileset"]
    exemplars: SomeTexts
    siblings: Annotated[Texts, Field(alias="with")] = ()
    normals: Annotated[Texts, Field(alias="with_normal")] = ()


GROUPS: dict[str, type[Group]] = {
    "stylize": StylizeGroup,
    "blend": BlendGroup,
    "expand": TextureGroup,
    "tile": TextureGroup,
    "maps": MapsGroup,
    "tileset": TilesetGroup,
}
"""Kinds of entries by their `command:`."""

KINDS: dict[str, type[Settings]] = {
    "expand": ExpandSettings,
    "tile": ExpandSettings,
    "maps": MapsSettings,
    "tileset": TilesetSettings,
}
"""Types of settings; stylizations have those of all others."""


@dataclass(frozen=True)
class Entry:
    """One picture with one style and preset; the name of its result is still open."""

    where: str  # The place in the manifest, for messages
    command: str
    picture: Input
    style: Input | None
    kind: type[Settings]  # The type of its settings
    preset: str | None
    changes: Tree
    template: str
    build: BuildJobs
    output: str | None = None  # The name of the result when no template decides it
    exact: bool = False  # Every pixel counts, whatever its settings are


BuildJobs = Callable[[Entry, Path, Any, str], Sequence[Job]]
"""Makes the jobs of an entry from the file of the result, the settings, and a name for the settings."""


def entries_of(where: str, data: object, base: Path, name: str | None) -> list[Entry]:
    """Return the entries that one item of `jobs:` stands for. name: the template of the manifest.

    Raises UsageError, and InputError for a folder or pattern without pictures.
    """
    mapping = mapping_in(data, where)
    command = mapping.get("command", "stylize")
    if not isinstance(command, str) or command not in GROUPS:
        raise UsageError(f"{where}: unknown command {command!r}{nearest(str(command), GROUPS)}")
    group = validate(GROUPS[command], mapping, where)
    with located(where):
        entries = _expanded(where, group, base, name)
        if group.output is not None and len(entries) > 1:
            raise UsageError(f"output names one file, but there are {len(entries)} results; use name")
    return entries


def _expanded(where: str, group: Group, base: Path, name: str | None) -> list[Entry]:
    """Return contents innermost and styles outermost: each style is measured once."""
    changes = _nested(group.changes)
    styles: Sequence[Input | None] = (None,)
    if isinstance(group, StylizeGroup):
        styles = _find(group.styles, base, recursive=group.recursive, cards=True)
        pictures = _find(group.contents, base, recursive=group.recursive)
        builders: Sequence[BuildJobs] = [build_stylize_jobs] * len(pictures)
    elif isinstance(group, BlendGroup):
        pictures = _find(group.contents, base, recursive=group.recursive)
        builders = [_blend(group, base)] * len(pictures)
    elif isinstance(group, MapsGroup):
        pictures = _find(group.pictures, base, recursive=group.recursive)
        builders = [_maps] * len(pictures)
    elif isinstance(group, TilesetGroup):
        pictures, builders = _tilesets(group, base)
    else:
        assert isinstance(group, TextureGroup)
        maps = {name: text for name in MAPS if (text := getattr(group, name)) is not None}
        mixed, named = group.mix or bool(group.weights), bool(group.siblings or group.normals)
        plain = group.recursive or mixed or named
        materials = [] if plain else find_materials([str(base / text) for text in group.exemplars])
        tasks = plan_tasks(
            group.command,
            [material.colour for material in materials]
            or _find(group.exemplars, base, recursive=group.recursive),
            mixed=mixed,
            weights=group.weights,
            siblings=[file_in(text, base) for text in group.siblings],
            normals=[file_in(text, base) for text in group.normals],
            **cast(Any, {name: file_in(text, base) for name, text in maps.items()}),
        )
        tasks = with_materials(tasks, materials)
        pictures = [task.exemplars[0] for task in tasks]
        builders = [_expand(task, group.count) for task in tasks]
    field = "style" if isinstance(group, StylizeGroup) else "command"
    middle = "" if group.command == "maps" else f".{{{field}}}"
    ending = "_height.png" if group.command == "maps" else ".{format}"
    template = name or f"{{folder}}/{{content}}{middle}{'.{preset}' if group.presets else ''}{ending}"
    exact = group.command in ("tile", "tileset") or (
        isinstance(group, TextureGroup) and group.hole is not None
    )
    kind = KINDS.get(group.command, StylizeSettings)
    presets = [preset_in(preset, base) for preset in group.presets or (None,)]
    return [
        Entry(
            where, group.command, picture, style, kind, preset, changes, template, build, group.output, exact
        )
        for style, preset, (picture, build) in product(styles, presets, zip(pictures, builders, strict=True))
    ]


def build_stylize_jobs(entry: Entry, path: Path, settings: StylizeSettings, preset: str) -> list[Job]:
    """Make the job of an entry with a style."""
    assert entry.style is not None, "every stylization has one"
    return [StylizeJob(entry.picture, path, entry.style, settings, preset)]


def _blend(group: BlendGroup, base: Path) -> BuildJobs:
    spec = make_spec(
        group.styles,
        lambda text: _find([text], base, cards=True),
        lambda text: file_in(text, base),
        masks=group.masks,
        content_labels=group.content_labels,
        style_labels=group.style_labels,
        sequential=group.sequential,
        feather=group.feather,
    )

    def build(entry: Entry, path: Path, settings: StylizeSettings, preset: str) -> list[Job]:
        del preset
        check_spec(spec, settings)
        return [BlendJob(entry.picture, path, spec, settings, tuple(style.weight for style in spec.styles))]

    return build


def _expand(task: Task, count: int) -> BuildJobs:
    def build(entry: Entry, path: Path, settings: ExpandSettings, preset: str) -> list[Job]:
        del entry, preset
        return [expand_job(task, settings, path, index, count) for index in range(1, count + 1)]

    return build


def _maps(entry: Entry, path: Path, settings: MapsSettings, preset: str) -> list[Job]:
    del preset
    return [maps_job(entry.picture, path, settings)]


def _tilesets(group: TilesetGroup, base: Path) -> tuple[list[Input], list[BuildJobs]]:
    """Return exemplars, with what makes the jobs of each."""
    named = [file_in(text, base) for text in (*group.siblings, *group.normals)]
    plain = group.recursive or bool(named)
    materials = [] if plain else find_materials([str(base / text) for text in group.exemplars])
    pictures = [material.colour for material in materials]
    pictures = pictures or _find(group.exemplars, base, recursive=group.recursive)
    if named and len(pictures) > 1:
        raise UsageError(
            f"with belongs to one exemplar, but there are {len(pictures)}; give each its own job"
        )
    maps = [material.maps for material in materials] or [tuple(named)] * len(pictures)
    known: list[Declared | None] = [None] * len(group.siblings)
    kinds = (*known, *["normals"] * len(group.normals))

    def builder(siblings: tuple[Input, ...]) -> BuildJobs:
        def build(entry: Entry, path: Path, settings: TilesetSettings, preset: str) -> list[Job]:
            del preset
            return [tileset_job(entry.picture, path, siblings, cast(Any, kinds), settings)]

        return build

    return pictures, [builder(siblings) for siblings in maps]


def _find(texts: Sequence[str], base: Path, *, recursive: bool = False, cards: bool = False) -> list[Input]:
    """Find the pictures that entries name, counted from the folder `base`."""
    arguments = []
    for text in texts:
        path = file_in(text, base).path
        # Brackets in the name of the manifest's own folder are no pattern.
        is_pattern = glob.has_magic(text) and not exists(path)
        arguments.append(str(Path(glob.escape(str(base))) / text) if is_pattern else str(path))
    suffixes = {*SUFFIXES, CARD_SUFFIX} if cards else SUFFIXES
    return find_inputs(arguments, recursive=recursive, suffixes=suffixes, deeper="recursive: true")


def _nested(changes: dict[str, Any]) -> Tree:
    """Turn `{a.b: 1}` into {a: {b: 1}}."""
    tree: Tree = {}
    for path, value in changes.items():
        *folders, last = keys_of(path)
        inner = tree
        for key in folders:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                break
        if not isinstance(inner, dict) or last in inner:
            raise UsageError(f"set gives {path!r} and a part or the whole of it; give one of them")
        inner[last] = value
    return tree


@contextmanager
def located(where: str) -> Iterator[None]:
    """Say in which part of the manifest something is wrong."""
    try:
        yield
    except (UsageError, InputError) as error:
        raise type(error)(f"{where}: {error}") from None


def mapping_in(data: object, where: str) -> dict[Any, Any]:
    """Return `data` when it is a mapping, else raise UsageError."""
    if not isinstance(data, dict):
        raise UsageError(
            f"{where} must be a mapping, like {{content: a.jpg, style: b.jpg}}, not {data!r:.40}"
        )
    return data


def file_in(text: str, base: Path) -> Input:
    """Return the file that an entry names, counted from the folder `base`. UsageError for standard input."""
    path = base / text
    if path == PIPE or "\0" in text:
        raise UsageError(f"{text!r} cannot be used in a manifest; name a file")
    return Input(path, path.name)


def preset_in(name: str | None, base: Path) -> str | None:
    """Count the file of a preset from the folder `base`; names stay."""
    return str(base / name) if name is not None and is_file_name(name) else name
