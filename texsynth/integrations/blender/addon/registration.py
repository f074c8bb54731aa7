"""What Blender is told of: classes, and the settings of a scene."""

from __future__ import annotations

import bpy

from .operators import OPERATORS, Work, show_again
from .panels import PANELS, TexsynthPreferences, TexsynthSettings

CLASSES = (TexsynthSettings, TexsynthPreferences, *OPERATORS, *PANELS)


def register() -> None:
    """Add the buttons and panels, as Blender asks for it."""
    for one in OPERATORS:
        one.bl_description = (one.__doc__ or "").rstrip(".")  # Blender adds its own
    for one in CLASSES:
        bpy.utils.register_class(one)
    bpy.types.Scene.texsynth = bpy.props.PointerProperty(type=TexsynthSettings)
    bpy.app.handlers.undo_post.append(bpy.app.handlers.persistent(show_again))


def unregister() -> None:
    """Take them away, and end the command where it is at work."""
    if Work.run:
        Work.run.close()
    bpy.app.handlers.undo_post.remove(show_again)
    del bpy.types.Scene.texsynth
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
