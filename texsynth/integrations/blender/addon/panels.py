"""Panels in the sidebar of the Image Editor, the values that they show, and preferences."""

from __future__ import annotations

from typing import Any, ClassVar

import bpy

from .arguments import FIELDS, IMAGE, PIXELS, PRESETS, SCALE, TASKS, Field
from .images import refusal
from .operators import Work


def prop(field: Field) -> Any:
    """Return the property of Blender that holds the value of a field."""
    about = {"name": field.label, "description": field.tooltip, "default": field.default}
    if field.choices:
        return bpy.props.EnumProperty(items=field.choices, **about)
    if isinstance(field.default, bool):
        return bpy.props.BoolProperty(**about)
    if isinstance(field.default, str):

        def search(owner: Any, context: Any, text: str) -> tuple[str, ...]:
            del owner, context, text
            return PRESETS[field.presets]

        return bpy.props.StringProperty(search=search, search_options={"SUGGESTION"}, **about)
    kind = bpy.props.IntProperty if isinstance(field.default, int) else bpy.props.FloatProperty
    return kind(min=field.low, max=field.high, **about)


def _is_offered(owner: Any, image: Any) -> bool:
    """Tell whether an image can be chosen as a style or a hole."""
    del owner
    return not refusal(image)


class TexsynthSettings(bpy.types.PropertyGroup):
    """The values of all panels, kept in the scene."""

    __annotations__ = {
        **{field.name: prop(field) for field in FIELDS},
        "style": bpy.props.PointerProperty(
            type=bpy.types.Image, name="Style", description="A painting, a photo", poll=_is_offered
        ),
        "hole": bpy.props.PointerProperty(
            type=bpy.types.Image,
            name="Hole Image",
            description="White where the picture is filled",
            poll=_is_offered,
        ),
    }


class TexsynthPreferences(bpy.types.AddonPreferences):
    """Where the command is, and where results are kept."""

    bl_idname = __package__
    __annotations__ = {
        "command": bpy.props.StringProperty(
            name="Command", subtype="FILE_PATH",
            description="The texsynth command, or the folder of its environment; empty to search the PATH",
        ),
        "folder": bpy.props.StringProperty(
            name="Results", subtype="DIR_PATH",
            description="A folder for results, like //textures/; empty to pack them into the .blend file",
        ),
        "status": bpy.props.StringProperty(options={"SKIP_SAVE"}),
    }  # fmt: skip

    def draw(self, context: Any) -> None:
        """Show them."""
        del context
        layout: Any = self.layout
        layout.prop(self, "command")
        layout.prop(self, "folder")
        layout.operator("texsynth.check")
        layout.label(text="testing ..." if Work.run else self.status)


class Panel(bpy.types.Panel):
    """A panel of one command."""

    bl_space_type, bl_region_type, bl_category = "IMAGE_EDITOR", "UI", "texsynth"
    bl_parent_id = "TEXSYNTH_PT_main"
    task: ClassVar[str]

    def draw(self, context: Any) -> None:
        """Show the values, and the button below them."""
        layout, chosen = self.layout, context.scene.texsynth
        layout.use_property_split = True
        layout.use_property_decorate = False
        self.before(layout, chosen)
        for field in TASKS[self.task]:
            if self.is_shown(field.name, chosen):
                layout.prop(chosen, field.name)
        self.after(layout, chosen)
        layout.operator(f"texsynth.{self.task}")

    def before(self, layout: Any, chosen: Any) -> None:
        """Show what stands above the values."""

    def after(self, layout: Any, chosen: Any) -> None:
        """Show what stands between them and the button."""

    def is_shown(self, name: str, chosen: Any) -> bool:
        """Tell whether a value matters, given the others."""
        del name, chosen
        return True


class TEXSYNTH_PT_main(bpy.types.Panel):
    """The command at work, and what all others share."""

    bl_label = "texsynth"
    bl_space_type, bl_region_type, bl_category = "IMAGE_EDITOR", "UI", "texsynth"

    def draw(self, context: Any) -> None:
        """Show how far the work is, or the seed."""
        layout: Any = self.layout
        if run := Work.run:
            if hasattr(layout, "progress"):
                layout.progress(factor=run.progress.share, text=str(run.progress))
            else:  # Before Blender 4.0
                layout.label(text=str(run.progress), icon="SORTTIME")
            layout.operator("texsynth.stop", icon="CANCEL")
        else:
            image = context.space_data.image
            if reason := refusal(image):
                for part in reason.split("; "):
                    layout.label(text=part[0].upper() + part[1:], icon="ERROR")
            else:
                layout.label(text=image.name, icon="IMAGE_DATA")
            layout.prop(context.scene.texsynth, "seed")


class TEXSYNTH_PT_tile(Panel):
    """Seamless textures."""

    bl_label, task = "Make Seamless", "tile"


class TEXSYNTH_PT_expand(Panel):
    """Larger textures."""

    bl_label, task = "Expand", "expand"

    def is_shown(self, name: str, chosen: Any) -> bool:
        """Show the size in the way that is chosen."""
        return bool(
            chosen.sized == {"scale": SCALE, "width": PIXELS, "height": PIXELS}.get(name, chosen.sized)
        )


class TEXSYNTH_PT_fill(Panel):
    """Textures without their holes."""

    bl_label, task, bl_options = "Fill Hole", "fill", {"DEFAULT_CLOSED"}

    def after(self, layout: Any, chosen: Any) -> None:
        """Show the image of the hole."""
        if chosen.hole_from == IMAGE:
            layout.label(text="White Is Filled")
            layout.template_ID(chosen, "hole", open="image.open", new="image.new")


class TEXSYNTH_PT_stylize(Panel):
    """Pictures in the style of others."""

    bl_label, task = "Stylize", "stylize"

    def before(self, layout: Any, chosen: Any) -> None:
        """Show the image of the style."""
        layout.label(text="Style")
        layout.template_ID(chosen, "style", open="image.open")


class TEXSYNTH_PT_maps(Panel):
    """Materials."""

    bl_label, task = "Material", "maps"

    def draw(self, context: Any) -> None:
        """Show the button for folders below that for the image."""
        super().draw(context)
        self.layout.operator("texsynth.material", icon="FILE_FOLDER")


PANELS = (
    TEXSYNTH_PT_main, TEXSYNTH_PT_tile, TEXSYNTH_PT_expand, TEXSYNTH_PT_fill, TEXSYNTH_PT_stylize,
    TEXSYNTH_PT_maps,
)  # fmt: skip
