"""The form of a preset as a JSON schema, by which editors complete and check what is written."""

from typing import Any

from pydantic.json_schema import models_json_schema

from texsynth.config.preset_texts import section_rows
from texsynth.config.presets import SECTIONS

LANGUAGE_SERVER = "# yaml-language-server: $schema="
"""How the first line of a YAML file tells editors where its schema is."""


def preset_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a preset."""
    models, shared = models_json_schema([(kind, "validation") for kind in SECTIONS.values()])
    definitions = shared["$defs"]
    properties: dict[str, Any] = {
        "description": {"type": "string", "description": "A sentence for `texsynth presets list`."},
        "extends": {"type": "string", "description": "A preset, by name or file, to start from."},
    }
    for section, kind in SECTIONS.items():
        reference = models[(kind, "validation")]
        rows = section_rows(section)
        _describe(reference, definitions, "", {key: row.text for key, row in rows.items()})
        properties[section] = {"anyOf": [reference, {"type": "null"}], "description": kind.__doc__}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Preset of texsynth",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "$defs": {name: _open(definition) for name, definition in definitions.items()},
    }


def _describe(node: Any, definitions: dict[str, Any], prefix: str, texts: dict[str, str]) -> None:  # noqa: ANN401
    """Give each setting at and below `node` of a schema the text of its key, which begins with `prefix`."""
    if "$ref" in node:
        _describe(definitions[node["$ref"].rsplit("/", 1)[1]], definitions, prefix, texts)
    for choice in (*node.get("oneOf", ()), *node.get("anyOf", ())):
        _describe(choice, definitions, prefix, texts)
    for name, inner in node.get("properties", {}).items():
        if text := texts.get(f"{prefix}{name}"):
            inner.setdefault("description", text)
        _describe(inner, definitions, f"{prefix}{name}.", texts)


def _open(node: Any) -> Any:  # noqa: ANN401 (any JSON)
    """Let a value fit several kinds: a transform without its name goes on from that of another preset."""
    if isinstance(node, list):
        return [_open(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        "anyOf" if key == "oneOf" else key: _open(value)
        for key, value in node.items()
        if key != "discriminator"
    }
