"""What the values of a surface's map mean."""

from typing import Literal

MapKind = Literal["values", "labels", "opengl", "directx"]
"""Values that may be mixed; labels, like masks and material numbers, which may not; normals with green light
where the surface faces the top of the picture (OpenGL), or its bottom (DirectX)."""

Declared = MapKind | Literal["normals"]
"""The same, or normals of which green is still to be looked at."""
