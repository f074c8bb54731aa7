"""texsynth in Blender: textures, styles and materials, made by the `texsynth` command."""

bl_info = {
    "name": "texsynth",
    "description": "Seamless, larger and stylized textures, and their materials",
    "author": "The texsynth developers",
    "version": (0, 2, 0),
    "blender": (3, 4, 0),
    "location": "Image Editor > Sidebar > texsynth",
    "category": "Material",
}
"""What Blender before 4.2 reads, in place of blender_manifest.toml."""


def register() -> None:
    """Add the buttons and panels, as Blender asks for it."""
    # Only here, so that what needs no Blender can be used without it.
    from .registration import register as add

    add()


def unregister() -> None:
    """Take them away, as Blender asks for it."""
    from .registration import unregister as remove

    remove()
