"""Materials of Blender, from their description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bpy

from .material import Graph

OLD = {"Specular IOR Level": "Specular", "Emission Color": "Emission"}
"""What Blender before 4.0 calls inputs of the shader."""


def build(name: str, graph: Graph, images: Mapping[str, Any]) -> Any:
    """Return a new material. images: by the map that they hold."""
    material = bpy.data.materials.new(name)
    if material.node_tree is None:  # Before Blender 5
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    nodes = {}
    for key, description in graph.nodes.items():
        node = nodes[key] = tree.nodes.new(description.kind)
        node.name, node.label, node.location = key, description.label, description.place
        for setting, value in description.settings.items():
            setattr(node, setting, value)
        for identifier, value in description.values.items():
            socket(node.inputs, identifier).default_value = value
        if description.map:
            node.image, node.label = images[description.map], description.map.capitalize()
    for link in graph.links:
        output = socket(nodes[link.source].outputs, link.output)
        tree.links.new(output, socket(nodes[link.target].inputs, link.input))
    if "opacity" in graph.nodes and bpy.app.version < (4, 2):
        material.blend_method = "HASHED"  # As later Blenders show it by themselves
    if graph.displaces:
        # Before Blender 4.1 it is a setting of Cycles.
        owner = material if hasattr(material, "displacement_method") else material.cycles
        owner.displacement_method = "DISPLACEMENT"
    return material


def socket(sockets: Any, identifier: str) -> Any:
    """Return the socket of that identifier. Raises KeyError."""
    by_identifier = {one.identifier: one for one in sockets}
    return by_identifier[identifier if identifier in by_identifier else OLD.get(identifier, identifier)]


def give(material: Any, thing: Any) -> bool:
    """Give a material to an object that has none, and return whether it was; it has no user otherwise."""
    if thing is not None and thing.type == "MESH" and not thing.library and not any(thing.data.materials):
        if thing.data.materials:
            thing.data.materials[0] = material
        else:
            thing.data.materials.append(material)
        return True
    material.use_fake_user = True
    return False
