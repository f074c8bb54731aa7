"""Colour: luma and chroma of sRGB images, and distances as they are seen."""

import torch
from torch import Tensor

LUMA = (0.2126, 0.7152, 0.0722)  # Rec. 709 weights of red, green and blue.

XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
"""Linear sRGB to CIE XYZ (IEC 61966-2-1); white is the sum of the columns."""


def luma(image: Tensor) -> Tensor:
    """Weigh the channels of image (N, 3, H, W) to lightness, (N, 1, H, W)."""
    return torch.einsum("nchw,c->nhw", image, image.new_tensor(LUMA))[:, None]


def with_chroma_of(colours: Tensor, lightness: Tensor) -> Tensor:
    """Combine light and dark of `lightness` with the colours of `colours`. All (N, 3, H, W) in [0, 1].

    The colour differences from grey are kept as they are and shortened only where they would leave the cube.
    """
    grey = luma(lightness)
    difference = colours - luma(colours)
    # Largest share of the difference that stays within [0, 1], channel by channel.
    room = torch.where(difference > 0, 1 - grey, grey)
    share = (room / difference.abs().clamp_min(1e-6)).amin(1, keepdim=True).clamp(0, 1)
    return (grey + share * difference).clamp(0, 1)


def to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB values in [0, 1], (..., 3), to CIE L*a*b* for the white of D65; L* is 0 to 100."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055).clamp_min(0) ** 2.4)
    xyz = linear @ rgb.new_tensor(XYZ).T
    xyz = xyz / rgb.new_tensor(XYZ).sum(1)
    root = torch.where(
        xyz > (6 / 29) ** 3, xyz.clamp_min(1e-6) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29
    )
    x, y, z = root.unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)
