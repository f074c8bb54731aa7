"""What all nodes are to ComfyUI, and how they read their inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from texsynth.config import presets
from texsynth.errors import UsageError
from texsynth.integrations.comfyui.bridge import host_device
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


def keywords(values: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """Return the keywords of a function of `import texsynth`: the values of a node, and the device.

    What is as the node shows it first is left out, so that a preset decides it. Raises UsageError for a name
    that the node does not offer, which may come through a connection.
    """
    for key, value in values.items():
        names = inputs[key][0]
        if isinstance(names, list) and value not in names:
            raise UsageError(f"{key} is {value!r}; use one of {', '.join(names)}")
    touched = {key: value for key, value in values.items() if value != inputs[key][1]["default"]}
    return {**touched, **host_device()}
