"""Methods without any network: a floor for the distance to the style, and a ceiling for what is kept."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from texsynth.settings import OTSettings
from texsynth.transforms import Moments, fit_map


def content(content: Tensor, style: Tensor) -> Tensor:  # noqa: ARG001
    """The content as it is."""
    return content


def colour(content: Tensor, style: Tensor) -> Tensor:
    """The content with the mean and covariance of the style's RGB values, by their optimal-transport map.

    Reinhard et al. 2001 do as much channel by channel. Both (1, 3, H, W) in [0, 1], of any sizes.
    """
    return fit_map(OTSettings(), Moments.of(content), Moments.of(style))(content).clamp(0, 1)


MAKERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"content": content, "colour": colour}
"""By the name of the method: (content, style) -> a picture like the content."""
