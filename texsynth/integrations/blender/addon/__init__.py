"""texsynth in Blender: textures, styles and materials, made by the `texsynth` command."""


def register() -> None:
    """Add the buttons and panels, as Blender asks for it."""
    # Only here, so that what needs no Blender can be used without it.
    from .registration import register as add

    add()


def unregister() -> None:
    """Take them away, as Blender asks for it."""
    from .registration import unregister as remove

    remove()
