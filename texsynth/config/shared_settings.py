"""Settings of presets that are no look: what a run needs, and the styles of a blend."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from texsynth.config.settings import Listed, RunSettings, Settings

Text = Annotated[str, Field(min_length=1)]

Texts = Annotated[tuple[Text, ...], Listed]

REST = "rest"  # Instead of a mask: what the masks of the other styles leave


class RunPreset(RunSettings):
    """What a preset may say about a run; the flags of a command win."""

    format: Text | None = None
    """Format of results whose name is not given, like jpg."""

    @model_serializer(mode="wrap")
    def _without_usual(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave nothing out: this is no record."""
        return dict(handler(self))


class BlendPreset(Settings):
    """The styles of `texsynth blend`, as its options and manifests have them."""

    styles: Texts = ()
    """Like swirl.jpg:0.7@3,4."""
    masks: Texts = ()
    """One for each style, or rest."""
    content_labels: Text | None = None
    """Label map of the content."""
    style_labels: Texts = ()
    """Label maps of the styles."""
    sequential: bool = False
    """One style after the other."""
    feather: Annotated[int, Field(ge=0)] = 4
    """Pixels over which the borders of labels fade."""


def with_paths(section: str, tree: dict[Any, Any], folder: Path) -> dict[Any, Any]:
    """Return a section of a preset in `folder` with paths that lead there; all else stays as it is."""

    def placed(value: object) -> object:
        if isinstance(value, list):
            return [placed(item) for item in value]
        return str(folder / value) if isinstance(value, str) and value not in (REST, "") else value

    paths: tuple[str, ...]
    if section == "blend":
        paths = ("styles", "masks", "content_labels", "style_labels")
    else:
        # These may be names, too.
        key = {"run": "model", "expand": "transposer"}.get(section, "")
        paths = (key,) if str(tree.get(key, "")).endswith(".safetensors") else ()
    return {key: placed(value) if key in paths else value for key, value in tree.items()}
