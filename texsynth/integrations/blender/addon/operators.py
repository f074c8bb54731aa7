"""The buttons: each hands a picture to the command, does not wait for it, and takes its result."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

import bpy

from . import names
from .arguments import ALPHA, FIELDS, SHARED, arguments
from .command import CommandError, Run, find_command
from .images import DATA, hole_file, load_result, refusal, source_file
from .material import is_data, material_graph
from .nodes import build, give

TICK = 0.1  # Seconds from one look at the command to the next

SHOWING = ("IMAGE_EDITOR", "PREFERENCES")  # Editors that tell how far the work is

Steps = Iterator[None]


def preferences(context: Any) -> Any:
    """Return what the user has set for the add-on; None where it was registered by a script."""
    addon = context.preferences.addons.get(__package__)
    return addon and addon.preferences


def settings(context: Any) -> dict[str, Any]:
    """Return the values of the panels, by their names."""
    return {field.name: getattr(context.scene.texsynth, field.name) for field in FIELDS}


def results_folder(context: Any) -> str:
    """Return the folder for results, empty to pack them. Raises CommandError."""
    chosen = preferences(context)
    folder: str = chosen.folder if chosen else ""
    if folder.startswith("//") and not bpy.data.filepath:
        raise CommandError(
            f"results go to {folder} beside the .blend file, which is not saved yet; save it first"
        )
    return bpy.path.abspath(folder) if folder else ""


def start(context: Any, words: Sequence[str], folder: Path) -> Run:
    """Start the command. Raises CommandError."""
    chosen = preferences(context)
    place = bpy.path.abspath(chosen.command) if chosen and chosen.command else ""
    return Run([find_command(place), *words], folder)


class Work:
    """What all operators share that start the command. One is at work at a time."""

    run: ClassVar[Run | None] = None
    """The command at work, which the panel shows."""

    _timer: Any = None
    _steps: Steps | None = None

    @classmethod
    def refusal(cls, context: Any) -> str:
        """Return why it cannot be started, empty where it can."""
        del context
        return "the command is at work; wait, or press Stop" if Work.run else ""

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Tell whether it can be started; the tooltip says why not."""
        if reason := cls.refusal(context):
            cls.poll_message_set(reason)  # type: ignore[attr-defined]
        return not reason

    def steps(self, context: Any, folder: Path) -> Steps:
        """Do the work; what is yielded gives Blender a turn. Raises CommandError."""
        raise NotImplementedError

    def execute(self, context: Any) -> set[str]:
        """Do the work and wait for it, as scripts want it."""
        self._steps = self._all(context)
        while (state := self._next()) == {"RUNNING_MODAL"}:
            time.sleep(TICK)
        return state

    def invoke(self, context: Any, event: Any) -> set[str]:
        """Begin the work, and go on with it whenever Blender has time."""
        del event
        if bpy.app.background or context.window is None:
            return self.execute(context)
        self._steps = self._all(context)
        if (state := self._next()) == {"RUNNING_MODAL"}:
            manager = context.window_manager
            self._timer = manager.event_timer_add(TICK, window=context.window)
            manager.modal_handler_add(self)
        return state

    def modal(self, context: Any, event: Any) -> set[str]:
        """Look after the command; Escape ends it."""
        if event.type == "ESC" and event.value == "PRESS" and Work.run:
            Work.run.stop()
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        state = self._next()
        for window in context.window_manager.windows:
            for area in window.screen.areas:
                if area.type in SHOWING:
                    area.tag_redraw()
        if state == {"RUNNING_MODAL"}:
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        return state

    def cancel(self, context: Any) -> None:
        """End the command: Blender is closed, or opens another file."""
        if self._timer:
            context.window_manager.event_timer_remove(self._timer)
        if self._steps:
            self._steps.close()  # type: ignore[attr-defined]

    def tell(self, level: str, text: str) -> None:
        """Show a line. level: INFO, WARNING or ERROR."""
        self.report({level}, text)  # type: ignore[attr-defined]

    def command(self, context: Any, words: Sequence[str], folder: Path) -> Iterator[None]:
        """Run the command to its end. Raises CommandError; KeyboardInterrupt when it was stopped."""
        Work.run = run = start(context, words, folder)
        try:
            while run.poll():
                yield
        finally:
            Work.run = None
            run.close()
        if run.is_stopped:
            raise KeyboardInterrupt
        run.check()
        self.last = run
        for note in run.notes:
            self.tell("WARNING", note)

    def _all(self, context: Any) -> Steps:
        # On Windows a command that was killed may hold its files a moment longer.
        with TemporaryDirectory(dir=bpy.app.tempdir or None, ignore_cleanup_errors=True) as folder:
            yield from self.steps(context, Path(folder))

    def _next(self) -> set[str]:
        assert self._steps
        try:
            next(self._steps)
        except StopIteration:
            return {"FINISHED"}
        except KeyboardInterrupt:
            self.tell("INFO", "stopped; nothing was changed")
            return {"CANCELLED"}
        except (CommandError, OSError) as error:
            self.tell("ERROR", str(error))
            return {"CANCELLED"}
        return {"RUNNING_MODAL"}


class OnImage(Work):
    """The same for work on an image: that of the editor, or the one whose name is given."""

    __annotations__ = {
        "image": bpy.props.StringProperty(name="Image", description="Empty for that of the Image Editor")
    }
    if TYPE_CHECKING:
        image: str

    task: ClassVar[str]

    swapped: ClassVar[tuple[str, str]] = ("", "")
    """The last result in an editor, and the image whose place it has taken there."""

    @classmethod
    def refusal(cls, context: Any) -> str:
        """Return why it cannot be started; outside of an editor a script may name an image."""
        space = context.space_data
        return super().refusal(context) or (refusal(space.image) if _is_editor(space) else "")

    def picture(self, context: Any) -> Any:
        """Return the image. Raises CommandError."""
        image = bpy.data.images.get(self.image) if self.image else getattr(context.space_data, "image", None)
        if image is None:
            name = f"no image {self.image!r}" if self.image else "no image in the editor"
            raise CommandError(f"there is {name}; open one")
        return image

    def inputs(self, context: Any, image: Any, folder: Path) -> list[str]:
        """Return the files that the command takes besides the picture. Raises CommandError."""
        del context, image, folder
        return []

    def steps(self, context: Any, folder: Path) -> Steps:
        """Hand the picture over, and show the result."""
        image, kept = self.picture(context), results_folder(context)
        shown, name = image.name, names.result_name(image.name, self.task)
        source = source_file(image, folder)
        files = [str(source.path), *self.inputs(context, image, folder)]
        (out := folder / "out").mkdir()
        path = out / f"result{source.suffix}"
        yield from self.command(context, arguments(self.task, files, str(path), settings(context)), folder)
        result = load_result(path, name, source.space, kept)
        if _is_editor(context.space_data):
            OnImage.swapped, context.space_data.image = (result.name, shown), result
        self.tell("INFO", f"{result.name}: {result.size[0]} x {result.size[1]} pixels")


def show_again(*_: Any) -> None:
    """After an undo has taken a result away, show what it was made of, not an empty editor."""
    result, shown = OnImage.swapped
    if result in bpy.data.images or shown not in bpy.data.images:
        return
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "IMAGE_EDITOR" and not area.spaces.active.image:
                area.spaces.active.image = bpy.data.images[shown]


def _is_editor(space: Any) -> bool:
    return space is not None and space.type == "IMAGE_EDITOR"


class TEXSYNTH_OT_tile(OnImage, bpy.types.Operator):
    """Let the borders meet, so that copies can be laid side by side; the middle stays."""

    bl_idname, bl_label, bl_options = "texsynth.tile", "Make Seamless", {"UNDO"}
    task = "tile"


class TEXSYNTH_OT_expand(OnImage, bpy.types.Operator):
    """Make more of a texture: larger, not repeating."""

    bl_idname, bl_label, bl_options = "texsynth.expand", "Expand", {"UNDO"}
    task = "expand"


class TEXSYNTH_OT_fill(OnImage, bpy.types.Operator):
    """Fill a hole of a texture from the rest of it."""

    bl_idname, bl_label, bl_options = "texsynth.fill", "Fill Hole", {"UNDO"}
    task = "fill"

    def inputs(self, context: Any, image: Any, folder: Path) -> list[str]:
        """Return the hole."""
        chosen = context.scene.texsynth
        if chosen.hole_from == ALPHA:
            return [str(hole_file(image, folder))]
        if chosen.hole is None:
            raise CommandError("no image of the hole is chosen; choose one that is white where to fill")
        return [str(source_file(chosen.hole, folder).path)]


class TEXSYNTH_OT_stylize(OnImage, bpy.types.Operator):
    """Give the picture the style of another one."""

    bl_idname, bl_label, bl_options = "texsynth.stylize", "Stylize", {"UNDO"}
    task = "stylize"

    def inputs(self, context: Any, image: Any, folder: Path) -> list[str]:
        """Return the style."""
        del image
        style = context.scene.texsynth.style
        if style is None:
            raise CommandError("no style is chosen; choose an image that has it")
        return [str(source_file(style, folder).path)]


class TEXSYNTH_OT_maps(OnImage, bpy.types.Operator):
    """Guess height, normals, roughness and occlusion of the surface, and make a material of them."""

    bl_idname, bl_label, bl_options = "texsynth.maps", "Material of Image", {"UNDO"}
    task = "maps"

    def steps(self, context: Any, folder: Path) -> Steps:
        """Have the maps made, and build the nodes."""
        image, values, kept = self.picture(context), settings(context), results_folder(context)
        source, shown, name = source_file(image, folder), image.name, names.stem(image.name)
        (out := folder / "out").mkdir()
        words = arguments("maps", [str(source.path)], str(out / "surface.png"), values)
        yield from self.command(context, words, folder)
        files = {names.map_name(path.name)[1]: path for path in sorted(out.iterdir())}
        images = {
            role: load_result(path, names.result_name(shown, role), DATA, kept)
            for role, path in files.items()
        }
        if not (image := bpy.data.images.get(shown)):  # It may have been removed meanwhile, also by undo
            raise CommandError(f"{shown} is gone, so it has no material; the maps are in the list of images")
        graph = material_graph(
            {names.COLOUR, *images}, relief=values["relief"], depth=values["depth"], shaded=True
        )
        _finish(self, context, build(name, graph, {names.COLOUR: image, **images}))


class TEXSYNTH_OT_material(bpy.types.Operator):
    """Make a material of a folder with the maps of one surface, by the endings of their names."""

    bl_idname, bl_label, bl_options = "texsynth.material", "Material of Folder", {"UNDO"}
    __annotations__ = {
        "directory": bpy.props.StringProperty(name="Folder", subtype="DIR_PATH"),
        "filter_folder": bpy.props.BoolProperty(default=True, options={"HIDDEN"}),
        "filter_image": bpy.props.BoolProperty(default=True, options={"HIDDEN"}),
    }

    def invoke(self, context: Any, event: Any) -> set[str]:
        """Ask for the folder."""
        del event
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: Any) -> set[str]:
        """Load the maps, and build the nodes."""
        folder = Path(bpy.path.abspath(self.directory))
        try:
            shared, maps = names.find_maps(path.name for path in folder.iterdir() if path.is_file())
            images = {role: bpy.data.images.load(str(folder / file)) for role, file in maps.items()}
        except (ValueError, OSError, RuntimeError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for role, image in images.items():
            if is_data(role):
                image.colorspace_settings.name = DATA
        chosen = context.scene.texsynth
        graph = material_graph(set(images), relief=chosen.relief, depth=chosen.depth)
        _finish(self, context, build(shared or folder.name, graph, images))
        return {"FINISHED"}


def _finish(operator: Any, context: Any, material: Any) -> None:
    """Give the material to the active object where it has none, and say where it is."""
    thing = context.view_layer.objects.active
    if give(material, thing):
        place = f"is on {thing.name}"
    else:
        place = "is in the list of materials"
        if thing is not None and thing.type == "MESH":
            place += f"; {thing.name} keeps its own until you choose this one"
    operator.report({"INFO"}, f"material {material.name} {place}")


class TEXSYNTH_OT_check(Work, bpy.types.Operator):
    """Look whether the command is there and works; that takes some seconds."""

    bl_idname, bl_label = "texsynth.check", "Test"

    def steps(self, context: Any, folder: Path) -> Steps:
        """Ask for the version and the options that are needed, and run the command's own check."""
        yield from self.command(context, ["--version"], folder)
        version = " ".join(self.last.output)
        yield from self.command(context, ["tile", *SHARED, "--help"], folder)
        yield from self.command(context, ["doctor"], folder)
        self.tell("INFO", f"{version} works")

    def tell(self, level: str, text: str) -> None:
        """Show a line in the preferences, too."""
        super().tell(level, text)
        if chosen := preferences(bpy.context):
            chosen.status = text


class TEXSYNTH_OT_stop(bpy.types.Operator):
    """End the work; nothing is changed."""

    bl_idname, bl_label = "texsynth.stop", "Stop"

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Tell whether there is any."""
        del context
        return Work.run is not None

    def execute(self, context: Any) -> set[str]:
        """Ask the command to end."""
        del context
        if Work.run:
            Work.run.stop()
        return {"FINISHED"}


OPERATORS = (
    TEXSYNTH_OT_tile, TEXSYNTH_OT_expand, TEXSYNTH_OT_fill, TEXSYNTH_OT_stylize, TEXSYNTH_OT_maps,
    TEXSYNTH_OT_material, TEXSYNTH_OT_check, TEXSYNTH_OT_stop,
)  # fmt: skip
