"""Files of a published model, checked against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from texsynth.errors import ModelError
from texsynth.models.autoencoder import Decoder
from texsynth.models.layouts.checkpoints import Piece
from texsynth.models.layouts.forms import PREPROCESSING
from texsynth.models.vgg import Encoder
from texsynth.transforms.affine import AffineMap


def by_level(pieces: Sequence[Piece], role: str) -> dict[int, Piece]:
    """The encoders or decoders by level. Raises ModelError for two of one level."""
    found: dict[int, Piece] = {}
    for piece in pieces:
        if piece.form.role != role:
            continue
        level = piece.form.level
        if level in found:
            raise ModelError(
                f"{found[level].path} and {piece.path} are both the {role} of level {level}; give one of them"
            )
        found[level] = piece
    return dict(sorted(found.items()))


def folded(piece: Piece) -> dict[str, Tensor]:
    """The state dict of an encoder with its preprocessing in the first convolution.

    Raises ModelError when its shapes do not fit each other.
    """
    state = dict(piece.tensors)
    matrix, offset = state.pop(f"{PREPROCESSING}.weight"), state.pop(f"{PREPROCESSING}.bias")
    encoder_of(piece, state)
    if matrix.shape != (3, 3, 1, 1) or offset.shape != (3,):
        raise ModelError(misfit(piece))
    return state | before_first(state, AffineMap(matrix[:, :, 0, 0].double(), offset.double()))


def encoder_of(piece: Piece, state: Mapping[str, Tensor]) -> Encoder:
    """The encoder with this state dict. Raises ModelError when its shapes do not fit each other."""
    try:
        return Encoder.from_state(state)
    except (KeyError, RuntimeError, IndexError) as error:
        raise ModelError(misfit(piece)) from error


def decoder_state(piece: Piece, encoder: Piece, widths: tuple[int, ...]) -> dict[str, Tensor]:
    """The state dict of a decoder, which samples up by the nearest neighbour.

    widths: of `encoder`, whose features it is to take. Raises ModelError when it does not.
    """
    level = piece.form.level
    if level > len(widths):
        raise ModelError(
            f"{piece.path} decodes level {level}, and {encoder.path} ends at level {len(widths)}; "
            f"give the encoder of level {level} too"
        )
    state = {**piece.tensors, "nearest": torch.ones(1)}
    try:
        decoder = Decoder.from_state(state, level)
    except (KeyError, RuntimeError, IndexError) as error:
        raise ModelError(misfit(piece)) from error
    if decoder.widths != widths[:level]:
        raise ModelError(
            f"{piece.path} has the widths {_listed(decoder.widths)} and {encoder.path} has "
            f"{_listed(widths[:level])}; give the files of one model"
        )
    return state


def _listed(widths: tuple[int, ...]) -> str:
    return ", ".join(map(str, widths))


def misfit(piece: Piece) -> str:
    """What to say of a file whose tensors cannot be convolutions that follow each other."""
    return (
        f"{piece.path} has convolutions whose shapes do not fit each other; download the published file again"
    )


def before_first(state: Mapping[str, Tensor], first: AffineMap) -> dict[str, Tensor]:
    """The first convolution with a map of pixels in it; exact, as reflection padding copies pixels."""
    weight, bias = first.fold(state["conv1_1.weight"], state["conv1_1.bias"])
    return {"conv1_1.weight": weight, "conv1_1.bias": bias}
