"""Rescale an encoder to unit mean activation, as style transfer does (Gatys et al. 2015)."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from texsynth.config.preset_places import package_data
from texsynth.images import read_rgb8
from texsynth.models.vgg import Encoder, conv_names
from texsynth.models.weights import part
from texsynth.ops.resample import resize

SAMPLES = ("street", "mountains", "balloons", "still_life", "style_swirl", "style_mosaic")
"""Pictures that come with texsynth: photographs and paintings."""

DEAD = 1e-2
"""Share of its layer's mean activation below which a channel is taken for dead and stays as it is."""


@torch.no_grad()
def to_unit_mean(tensors: Mapping[str, Tensor], pictures: Iterable[Tensor]) -> dict[str, Tensor]:
    """Rescale every convolution to a mean activation of one, as in `vgg_normalised`, and its readers back.

    tensors: `encoder.*` with max pooling, `decoderL.*`, `photo.*`. pictures: (N, 3, H, W) in [0, 1] each.
    """
    out = {key: value.float().clone() for key, value in tensors.items()}
    encoder = Encoder.from_state(part(tensors, "encoder"))
    for (block, index), mean in mean_activations(encoder, pictures).items():
        mean = mean.where(mean > DEAD * mean.mean(), torch.ones_like(mean))
        out[f"encoder.conv{block}_{index}.weight"] /= mean[:, None, None, None]
        out[f"encoder.conv{block}_{index}.bias"] /= mean
        for reader in _readers(out, block, index):
            out[reader] *= mean[:, None, None]
        # What a bottleneck of the next coarser level gives is read by the decoder of this one.
        writer = f"decoder{block + 1}.inv{block}_2"
        if index == 1 and f"{writer}.weight" in out and f"decoder{block + 1}.inv{block}_1.weight" not in out:
            out[f"{writer}.weight"] /= mean[:, None, None, None]
            out[f"{writer}.bias"] /= mean
    return out


def mean_activations(encoder: Encoder, pictures: Iterable[Tensor]) -> dict[tuple[int, int], Tensor]:
    """(C,) for every convolution of `encoder`, behind its ReLU; all batches of `pictures` count alike."""
    sums: dict[tuple[int, int], list[Tensor]] = {}
    for x in pictures:
        for name in conv_names(len(encoder.widths)):
            x = encoder.layer(x, *name)
            sums.setdefault(name, []).append(x.mean((0, 2, 3)))
    return {name: torch.stack(means).mean(0) for name, means in sums.items()}


def sample_pictures() -> Iterator[Tensor]:
    """The sample pictures at half their size, (1, 3, h, w) in [0, 1]."""
    for name in SAMPLES:
        pixels = read_rgb8(package_data("samples") / f"{name}.jpg")
        image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None] / 255
        yield resize(image, image.shape[2] // 2, image.shape[3] // 2)


def _readers(tensors: Mapping[str, Tensor], block: int, index: int) -> list[str]:
    """Weights of the convolutions that read what `convB_I` gives."""
    following = (f"encoder.conv{block}_{index + 1}", f"encoder.conv{block + 1}_1")
    names = [next((name for name in following if f"{name}.weight" in tensors), "")]
    if index == 1:
        skips = (f"photo.skip{block}", f"photo.up{block}")
        names += [f"decoder{block}.inv{block}_1"]
        names += [next((name for name in skips if f"{name}.weight" in tensors), "")]
    return [f"{name}.weight" for name in names if f"{name}.weight" in tensors]
