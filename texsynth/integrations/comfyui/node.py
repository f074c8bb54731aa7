"""What all nodes are to ComfyUI, and how they read their inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from texsynth.config import presets
from texsynth.errors import UsageError
from texsynth.integrations.comfyui.fields import NONE, Inputs


class Node:
    """A node; its class states its inputs and outputs in ComfyUI's way."""

    CATEGORY = "texsynth"

    @classmethod
    def IS_CHANGED(cls, **inputs: str | None) -> str:
        """Return what the preset says: a result is computed anew when that has changed. Raises UsageError.

        inputs: what comes from another node is None.
        """
        preset = inputs.get("preset") or NONE
        return "" if preset == NONE else json.dumps(presets.load(preset).sections, default=str)


def changed(values: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """Return the values that are not as the node shows them first: what nobody touched, a preset decides.

    Raises UsageError for a name that the node does not offer, which may come through a connection.
    """
    for key, value in values.items():
        names = inputs[key][0]
        if isinstance(names, list) and value not in names:
            raise UsageError(f"{key} is {value!r}; use one of {', '.join(names)}")
    return {key: value for key, value in values.items() if value != inputs[key][1]["default"]}
