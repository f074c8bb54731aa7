"""A session in Blender: installs the zip, presses the buttons, notes what became of it. Needs `bpy` alone.

Called as a program, or by `blender --background --python`: the zip, the command, and a folder with pictures,
in which `session.json` and pixels are written.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

EXTENSION, ADDON = "bl_ext.user_default.texsynth", "texsynth_addon"


def install(archive: str, command: str) -> tuple[str, Any]:
    """Install from disk, as users do; return the name of the module, and the preferences."""
    import addon_utils
    import bpy

    if bpy.app.version < (4, 2):
        name = ADDON
        bpy.ops.preferences.addon_install(filepath=archive)
        bpy.ops.preferences.addon_enable(module=name)
    else:
        name = EXTENSION
        addon_utils.enable("bl_pkg")
        bpy.ops.extensions.package_install_files(
            filepath=archive, repo="user_default", enable_on_install=True
        )
    preferences = bpy.context.preferences.addons[name].preferences
    preferences.command = command
    return name, preferences


def save(image: Any) -> dict[str, Any]:  # noqa: ANN401 (of Blender)
    """Write the pixels of an image from the top, (H, W, 4), and return what else it is."""
    width, height = image.size
    values = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(values)
    np.save(f"{image.name}.npy", values.reshape(height, width, image.channels)[::-1])
    packed = bool(image.packed_file)
    space = image.colorspace_settings.name
    return {"space": space, "packed": packed, "float": image.is_float, "path": image.filepath}


def generated(name: str, pixels: np.ndarray[Any, Any]) -> Any:  # noqa: ANN401 (of Blender)
    """Return a new image with pixels, (H, W, 4) float32 from the top: floats where some are above 1."""
    import bpy

    height, width, _ = pixels.shape
    image = bpy.data.images.new(name, width, height, alpha=True, float_buffer=bool(pixels.max() > 1))
    image.pixels.foreach_set(np.ascontiguousarray(pixels[::-1]).ravel())
    return image


def press(button: str, **options: str) -> str:
    """Press a button, and return the error, if any."""
    import bpy

    try:
        getattr(bpy.ops.texsynth, button)(**options)
    except RuntimeError as error:
        return str(error).removeprefix("Error: ").strip()
    return ""


def nodes_of(material: Any) -> dict[str, Any]:  # noqa: ANN401 (of Blender)
    """Return the images and the links of a material."""
    tree = material.node_tree
    images = {node.name: node.image.name for node in tree.nodes if node.type == "TEX_IMAGE"}
    links = [[link.from_node.name, link.to_node.name, link.to_socket.name] for link in tree.links]
    valid = all(link.is_valid for link in tree.links)
    owner = material if hasattr(material, "displacement_method") else material.cycles
    return {"images": images, "links": links, "valid": valid, "displaces": owner.displacement_method}


def session(archive: str, command: str, folder: str) -> dict[str, Any]:
    """Do all of it, and return what is to be looked at."""
    os.chdir(folder)
    import bpy

    name, preferences = install(archive, command)
    told: dict[str, Any] = {"version": bpy.app.version_string, "errors": {}}
    errors: dict[str, str] = told["errors"]
    chosen, images = bpy.context.scene.texsynth, bpy.data.images
    for picture in ("wall.png", "photo.png", "painting.png"):
        images.load(str(Path(picture).absolute()))
    errors["check"] = press("check")
    told["status"] = preferences.status
    chosen.tile_preset = chosen.expand_preset = chosen.fill_preset = "fast"

    errors["tile"] = press("tile", image="wall.png")
    told["wall_tile"] = save(images["wall_tile"])
    errors["again"] = press("tile", image="wall.png")
    errors["packed"] = press("tile", image="wall_tile")
    told["wall_tile_tile"] = save(images["wall_tile_tile"])
    told["names"] = sorted(image.name for image in images if image.name.startswith("wall_tile"))

    chosen.sized, chosen.width, chosen.height, chosen.tileable, chosen.seed = "PIXELS", 60, 50, True, 3
    generated("painted", np.load("painted.npy"))
    errors["expand"] = press("expand", image="painted")
    told["painted_expand"] = save(images["painted_expand"])

    generated("light", np.load("light.npy")).pack()
    errors["light"] = press("expand", image="light")
    told["light_expand"] = save(images["light_expand"])

    chosen.seed = 0
    generated("torn", np.load("torn.npy"))
    errors["fill"] = press("fill", image="torn")
    told["torn_fill"] = save(images["torn_fill"])

    errors["no style"] = press("stylize", image="photo.png")
    chosen.style, chosen.strength = images["painting.png"], 0.5
    errors["stylize"] = press("stylize", image="photo.png")
    told["photo_stylize"] = save(images["photo_stylize"])

    preferences.folder = "//kept"
    errors["unsaved"] = press("stylize", image="photo.png")
    preferences.folder = "kept"
    bpy.ops.mesh.primitive_plane_add()
    errors["maps"] = press("maps", image="wall.png")
    told["maps"] = nodes_of(bpy.data.materials["wall"])
    told["wall_normal"] = save(images["wall_normal"])
    told["on the plane"] = bpy.context.object.data.materials[0].name
    chosen.relief = "DISPLACEMENT"
    errors["material"] = press("material", directory=str(Path("surface").absolute()))
    told["material"] = nodes_of(bpy.data.materials["stone"])
    told["spaces"] = {
        image.name: image.colorspace_settings.name for image in images if image.name.startswith("stone")
    }

    results = [image for image in images if image.packed_file and "_" in image.name]
    told["lost"] = [image.name for image in results if not image.use_fake_user]
    counts = len(images), len(bpy.data.materials)
    errors["no material"] = press("material", directory=str(Path("blender").absolute()))
    errors["none"] = press("tile", image="none")
    chosen.tile_preset = "nonsense"
    errors["preset"] = press("tile", image="wall.png")
    preferences.command = str(Path("nowhere").absolute())
    errors["command"] = press("tile", image="wall.png")
    for source in ("SEQUENCE", "TILED"):
        images["photo.png"].source = source
        errors[source] = press("tile", image="photo.png")
    told["nothing new"] = (len(images), len(bpy.data.materials)) == counts
    told["temporary"] = os.listdir(bpy.app.tempdir)
    bpy.ops.preferences.addon_disable(module=name)
    told["gone"] = not hasattr(bpy.types.Scene, "texsynth")
    return told


if __name__ == "__main__":
    Path("session.json").write_text(json.dumps(session(*sys.argv[-3:])))
