"""`texsynth train pack`: join the parts of a run into one weight file, and measure it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from texsynth.models.autoencoder import PhotoDecoder
from texsynth.models.hashes import record_hash
from texsynth.models.registry import Model, build_model
from texsynth.models.vgg import LEVELS, Encoder
from texsynth.models.weights import collect, part, read_weights, write_weights
from texsynth.training.data import centre_crops, find_pictures, load_pictures, random_crops, to_image
from texsynth.training.metrics import cycle_error, explained_variance, reconstruction
from texsynth.training.teacher import load_teacher


@torch.no_grad()
def to_unit_mean(tensors: Mapping[str, Tensor], crops: Tensor) -> dict[str, Tensor]:
    """Rescale the channels of every level to a mean activation of one, as in `vgg_normalised`.

    A ReLU network computes the same after it: what leaves a layer scaled enters the next ones scaled back.
    crops: (N, 3, S, S) uint8.
    """
    out = {key: value.clone() for key, value in tensors.items()}
    features = Encoder.from_state(part(tensors, "encoder"))(to_image(crops))
    for level, f in zip(LEVELS, features, strict=True):
        mean = f.mean((0, 2, 3))
        mean = mean.where(mean > 1e-2, torch.ones_like(mean))  # a dead channel stays as it is
        out[f"encoder.conv{level}_1.weight"] /= mean[:, None, None, None]
        out[f"encoder.conv{level}_1.bias"] /= mean
        readers = [f"encoder.conv{level}_2", f"encoder.conv{level + 1}_1", f"decoder{level}.inv{level}_1"]
        # The first convolution of a block feeds its second, or the next block where there is no second.
        reader = readers[0] if f"{readers[0]}.weight" in out else readers[1]
        for name in (reader, readers[2]):
            if f"{name}.weight" in out:
                out[f"{name}.weight"] *= mean[:, None, None]
        skip, deepest = f"photo.skip{level}.weight", f"photo.up{level}.weight"
        if skip in out or deepest in out:
            out[skip if skip in out else deepest] *= mean[:, None, None]
    return out


def evaluate(model: Model, data: Path, teacher: Path, side: int = 256) -> dict[str, dict[str, float]]:
    """Held-out figures of one model, keyed by measure and level.

    Held-out photographs with both sides of at least `side`, centre crops; the linear map of the explained
    variance is fitted on 768 random training crops of 128 pixels.
    """
    test = centre_crops(load_pictures(find_pictures(data / "photos", held_out=True), side), side)
    pictures = load_pictures(find_pictures(data, held_out=False), 160)
    fit = random_crops(pictures, 768, 128, torch.Generator().manual_seed(7))
    encoder = model.encoder
    table: dict[str, dict[str, float]] = {"pictures": {"held out": float(len(test))}}
    scores = explained_variance(encoder, load_teacher(teacher), fit, test)
    table["explained variance"] = {str(level): value for level, value in scores.items()}
    for level, decoder in model.decoders.items():

        def rebuild(image: Tensor, level: int = level) -> Tensor:
            out: Tensor = model.decoders[level](encoder.segment(image, 0, level))
            return out

        table.setdefault("PSNR dB", {})[str(level)] = reconstruction(rebuild, test)
        variance, energy = cycle_error(encoder, decoder, level, test)
        table.setdefault("cycle error / variance", {})[str(level)] = variance
        table.setdefault("cycle error / energy", {})[str(level)] = energy
    photo = model.photo
    if photo is not None:
        table["PSNR dB"]["photo"] = reconstruction(lambda image: _photo(photo, encoder, image), test)
    return table


def _photo(decoder: PhotoDecoder, encoder: Encoder, image: Tensor) -> Tensor:
    out: Tensor = decoder(encoder(image, len(decoder.widths)))
    return out


def pack(
    folder: Path, data: Path, output: Path, teacher: Path | None, notes: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Write the model of a run as float16 with unit mean activations. Returns its held-out figures, if asked.

    The figures are those of the written file, and go into its header beside `notes`.
    """
    pictures = load_pictures(find_pictures(data, held_out=False), 160)
    crops = random_crops(pictures, 128, 128, torch.Generator().manual_seed(3))
    tensors = to_unit_mean(collect(folder), crops)
    header = {"model": output.stem, "layout": "encoder.*, decoderL.*, photo.*", **notes}
    output.parent.mkdir(parents=True, exist_ok=True)
    write_weights(output, tensors, header)
    if teacher is None:
        record_hash(output)
        return {}
    half, _ = read_weights(output)
    table = evaluate(build_model(output.stem, half), data, teacher)
    write_weights(output, tensors, {**header, "held_out": json.dumps(table)})
    record_hash(output)
    return table
