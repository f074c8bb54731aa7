"""The nodes of a material, told without Blender: which there are, where they stand, what leads where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .arguments import BUMP, DISPLACEMENT, NORMAL
from .names import COLOUR, DIRECTX

X = {
    "uv": -1500,
    "mapping": -1300,
    "image": -1080,
    "split": -760,
    "change": -560,
    "join": -360,
    "shader": -120,
}
X["output"] = 260
"""Where the columns begin."""

ROW = 300  # From one image to the next, downwards

PACKED = {
    "orm": ("occlusion", "roughness", "metallic"),
    "arm": ("occlusion", "roughness", "metallic"),
    "rma": ("roughness", "metallic", "occlusion"),
    "mra": ("metallic", "roughness", "occlusion"),
}
"""Which maps the red, green and blue of a packed one hold."""

CHANNELS = ("Red", "Green", "Blue")

ORDER = (COLOUR, "occlusion", "metallic", "roughness", "gloss", *PACKED, "specular", "opacity", "emission",
         "normal", DIRECTX, "height")  # fmt: skip
"""Maps from above to below; about as the shader's inputs stand."""

INPUTS = {
    "metallic": "Metallic", "roughness": "Roughness", "specular": "Specular IOR Level", "opacity": "Alpha",
    "emission": "Emission Color",
}  # fmt: skip
"""Inputs of the shader that take a map as it is."""


@dataclass(frozen=True)
class Node:
    """A node. kind: Blender's name of its class. place: of its upper left corner.

    values: of its inputs, by identifier. settings: of its own properties. map: that which its image holds.
    """

    kind: str
    place: tuple[int, int]
    label: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    map: str = ""


@dataclass(frozen=True)
class Link:
    """A link from an output of one node to an input of another, by their names and identifiers."""

    source: str
    output: str
    target: str
    input: str


@dataclass
class Graph:
    """Nodes by their names, and links. displaces: the surface itself is moved."""

    nodes: dict[str, Node] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    displaces: bool = False

    def join(self, source: tuple[str, str], target: str, name: str) -> None:
        """Lead the output of a node, both named by `source`, to an input of another."""
        self.links.append(Link(*source, target, name))


def is_data(role: str) -> bool:
    """Tell whether the values of a map are no colours."""
    return role not in (COLOUR, "emission")


def material_graph(
    maps: set[str], *, relief: str = NORMAL, depth: float = 0.03, shaded: bool = False
) -> Graph:
    """Return the nodes of a material.

    maps: which there are, of ORDER. relief: one of RELIEFS. depth: of the height, from black to white, in
    units of the scene. shaded: the colours show the occlusion already, as those of a photograph do.
    """
    graph = Graph()
    roles = [role for role in ORDER if role in maps]
    middle = -ROW * (len(roles) - 1) // 2
    graph.nodes["uv"] = Node("ShaderNodeTexCoord", (X["uv"], middle))
    graph.nodes["mapping"] = Node("ShaderNodeMapping", (X["mapping"], middle))
    graph.nodes["shader"] = Node("ShaderNodeBsdfPrincipled", (X["shader"], 0))
    graph.nodes["output"] = Node("ShaderNodeOutputMaterial", (X["output"], 0))
    graph.join(("uv", "UV"), "mapping", "Vector")
    graph.join(("shader", "BSDF"), "output", "Surface")
    outputs: dict[str, tuple[str, str]] = {}
    for number, role in enumerate(roles):
        graph.nodes[role] = Node("ShaderNodeTexImage", (X["image"], -ROW * number), map=role)
        graph.join(("mapping", "Vector"), role, "Vector")
        outputs[role] = (role, "Color")
        if role in PACKED:
            name = f"{role} channels"
            graph.nodes[name] = Node("ShaderNodeSeparateColor", (X["split"], -ROW * number))
            graph.join((role, "Color"), name, "Color")
            for part, channel in zip(PACKED[role], CHANNELS, strict=True):
                # A file of its own is worth more than a channel of 8 bits.
                outputs.setdefault(part, (name, channel))
    _lead_colours(graph, outputs, shaded=shaded)
    for role, name in INPUTS.items():
        if role in outputs:
            graph.join(outputs[role], "shader", name)
    if "emission" in outputs:
        graph.nodes["shader"] = Node(
            "ShaderNodeBsdfPrincipled", (X["shader"], 0), values={"Emission Strength": 1.0}
        )
    if "gloss" in outputs and "roughness" not in outputs:
        graph.nodes["rough"] = Node(
            "ShaderNodeInvert", (X["change"], graph.nodes["gloss"].place[1]), "Roughness"
        )
        graph.join(outputs["gloss"], "rough", "Color")
        graph.join(("rough", "Color"), "shader", "Roughness")
    _lead_relief(graph, outputs, relief, depth)
    return graph


def _lead_colours(graph: Graph, outputs: Mapping[str, tuple[str, str]], *, shaded: bool) -> None:
    colour = outputs.get(COLOUR)
    if colour and "occlusion" in outputs:
        graph.nodes["shade"] = Node(
            "ShaderNodeMix", (X["change"], 0), "Occlusion", {"Factor_Float": 0.0 if shaded else 1.0},
            {"data_type": "RGBA", "blend_type": "MULTIPLY"},
        )  # fmt: skip
        graph.join(colour, "shade", "A_Color")
        graph.join(outputs["occlusion"], "shade", "B_Color")
        colour = ("shade", "Result_Color")
    if colour:
        graph.join(colour, "shader", "Base Color")


def _lead_relief(graph: Graph, outputs: Mapping[str, tuple[str, str]], relief: str, depth: float) -> None:
    """Lead normals and height to where they bend the light. Both at once would bend it twice."""
    height = outputs.get("height")
    normals = outputs.get("normal") or (_upwards(graph) if DIRECTX in outputs else None)
    if normals:
        row = graph.nodes[normals[0]].place[1]
        graph.nodes["normals"] = Node("ShaderNodeNormalMap", (X["join"], row), settings={"space": "TANGENT"})
        graph.join(normals, "normals", "Color")
        if relief == NORMAL or not height:
            graph.join(("normals", "Normal"), "shader", "Normal")
    if not height:
        return
    row = graph.nodes["height"].place[1]
    if relief == DISPLACEMENT:
        values = {"Midlevel": 0.5, "Scale": depth}
        graph.nodes["relief"] = Node("ShaderNodeDisplacement", (X["join"], row), "Height", values)
        graph.join(("relief", "Displacement"), "output", "Displacement")
        graph.displaces = True
    else:
        values = {"Strength": 1.0, "Distance": depth}
        graph.nodes["relief"] = Node("ShaderNodeBump", (X["join"], row), "Height", values)
        if relief == BUMP or not normals:
            graph.join(("relief", "Normal"), "shader", "Normal")
    graph.join(height, "relief", "Height")


def _upwards(graph: Graph) -> tuple[str, str]:
    """Turn the green of normals for DirectX round, and return the output with that of OpenGL."""
    row = graph.nodes[DIRECTX].place[1]
    graph.nodes["axes"] = Node("ShaderNodeSeparateColor", (X["split"], row))
    graph.nodes["up"] = Node(
        "ShaderNodeMath", (X["split"], row - 140), "Green", {"Value": 1.0}, {"operation": "SUBTRACT"}
    )
    graph.nodes["opengl"] = Node("ShaderNodeCombineColor", (X["change"], row), "OpenGL")
    graph.join((DIRECTX, "Color"), "axes", "Color")
    graph.join(("axes", "Green"), "up", "Value_001")
    for channel in CHANNELS:
        source = ("up", "Value") if channel == "Green" else ("axes", channel)
        graph.join(source, "opengl", channel)
    return "opengl", "Color"
