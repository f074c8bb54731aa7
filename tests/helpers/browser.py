"""What can be measured of any page in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from helpers.browsers import tools

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver


def check_contrast(browser: WebDriver, scheme: str, *marks: str) -> None:
    """At least 7 to 1 for text and 4.5 to 1 for marks, names of colours (WCAG 2.1, 1.4.3 and 1.4.6)."""
    tools(browser).prefer(scheme)
    colours = browser.execute_script(
        "const c = document.createElement('canvas').getContext('2d', {willReadFrequently: true});"
        "const style = getComputedStyle(document.documentElement);"
        "return ['paper', 'ink', ...arguments[0]].map(name => {"
        " c.fillStyle = style.getPropertyValue('--' + name); c.fillRect(0, 0, 1, 1);"
        " return [...c.getImageData(0, 0, 1, 1).data].slice(0, 3) })",
        marks,
    )
    paper, ink, *others = (luminance(torch.tensor(rgb) / 255) for rgb in colours)
    assert contrast(paper, ink) >= 7
    assert all(contrast(paper, other) >= 4.5 for other in others)


def luminance(rgb: torch.Tensor) -> float:
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float((linear * torch.tensor([0.2126, 0.7152, 0.0722])).sum())


def contrast(a: float, b: float) -> float:
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)
