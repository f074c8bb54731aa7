"""Published style-transfer checkpoints as models of texsynth: the files of one model joined by family."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from texsynth.errors import ModelError
from texsynth.models.autoencoder import Decoder
from texsynth.models.calibration import sample_pictures, to_unit_mean
from texsynth.models.checkpoints.formats import PREPROCESSING, Piece, identify, read_checkpoint
from texsynth.models.hub.cache import file_hash
from texsynth.models.registry import build_model
from texsynth.models.transposers import load_network
from texsynth.models.vgg import Encoder, conv_names
from texsynth.models.wavelets import WaveDecoder
from texsynth.models.weights import PARTS, prefixed, read_weights, transposer_layout
from texsynth.transforms.affine import AffineMap

NORMS = (
    *(122.131, 2.76834, 10.0677, 14.3727, 11.0022, 23.6579, 4.43822, 7.33761),
    *(11.7355, 66.8967, 61.6816, 127.512, 28.4736),
)
"""Norms of the convolutions conv1_1..conv5_1 of `vgg_normalised`, the first with the preprocessing in it."""

EXACT, ROUNDED = 1e-4, 3e-2
"""Relative tolerances of the norms up to conv3_4, and of the others, which we know from rounded weights."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of RGB that torchvision's networks expect to be taken out."""

CALIBRATED = {"calibrated": "every channel to unit mean activation on sample pictures of texsynth"}
"""Note on an encoder whose published form is not."""

VGG_LICENCE = "VGG-19 (Simonyan and Zisserman): CC BY 4.0"


@dataclass(frozen=True)
class Converted:
    """A published model in our format."""

    format: str  # Format of the files, such as `pytorch-wct`
    name: str  # Name of the model when the user gives none
    tensors: dict[str, Tensor]
    """`encoder.*` or `encoderL.*`, `decoderL.*`, `photo.*`, float32 on the CPU."""
    header: dict[str, str]  # Origin: format, sources with their SHA-256, licence where it is known


def sequential(pieces: list[Piece]) -> Converted:
    """`vgg_normalised` alone, or with decoders as PytorchWCT and pytorch-AdaIN have them."""
    encoders, decoders = by_level(pieces)
    if not encoders:
        raise ModelError(f"{pieces[0].path} is a decoder without its encoder; give vgg_normalised*.pth too")
    deepest = encoders[max(encoders)]
    whole, widths = folded(deepest)
    for piece in encoders.values():
        for key, value in folded(piece)[0].items():
            if value.shape != whole[key].shape or not torch.allclose(value, whole[key], rtol=1e-4, atol=1e-5):
                raise ModelError(
                    f"{piece.path} and {deepest.path} are of different networks; give the files of one model"
                )
    tensors = prefixed("encoder", whole)
    for level, piece in decoders.items():
        tensors |= prefixed(f"decoder{level}", decoder_state(piece, deepest, widths))
    origin = "pytorch-wct"
    if deepest.whole and set(decoders) <= {4}:  # the encoder goes on to relu5_4, as in pytorch-AdaIN
        origin = "pytorch-adain" if decoders else "vgg_normalised"
    notes = {"upsampling": "nearest"} if decoders else {}
    if is_normalised(whole):
        name = "vgg19" if origin == "vgg_normalised" else origin
        return Converted(origin, name, tensors, {**notes, "licence": VGG_LICENCE})
    # Another network of this format works too, once features mean what the settings expect.
    origin = origin if decoders else "vgg-sequential"
    return Converted(origin, origin, to_unit_mean(tensors, sample_pictures()), {**notes, **CALIBRATED})


def torchvision(pieces: list[Piece]) -> Converted:
    """torchvision's VGG-19, rescaled as the literature does it.

    It was trained with zero padding; here it reflects, as all encoders of style transfer do, so that borders
    make no statistics of their own.
    """
    if len(pieces) > 1:
        raise ModelError(f"{pieces[1].path} is a second encoder; give one file of torchvision's vgg19")
    mean, deviation = (torch.tensor(values, dtype=torch.float64) for values in IMAGENET)
    state, _ = folded(pieces[0], AffineMap(torch.diag(1 / deviation), -mean / deviation))
    tensors = to_unit_mean(prefixed("encoder", state), sample_pictures())
    return Converted("torchvision-vgg19", "vgg19-torchvision", tensors, CALIBRATED)


def distilled(pieces: list[Piece]) -> Converted:
    """Small networks of Collaborative-Distillation: every level has an encoder and a decoder of its own.

    Published decoders end in a ReLU; here pictures are clamped to [0, 1] in any case.
    """
    encoders, decoders = by_level(pieces)
    for level, piece in decoders.items():
        if level not in encoders:
            raise ModelError(f"{piece.path} is a decoder without its encoder; give that of level {level} too")
    tensors: dict[str, Tensor] = {}
    for level, piece in encoders.items():
        state, widths = folded(piece)
        tensors |= prefixed(f"encoder{level}", state)
        if level in decoders:
            tensors |= prefixed(f"decoder{level}", decoder_state(decoders[level], piece, widths))
    notes = {"upsampling": "nearest", "licence": "Collaborative-Distillation (Huan Wang): MIT"}
    return Converted("collaborative-distillation", "ckd", tensors, notes)


def wavelets(pieces: list[Piece]) -> Converted:
    """WCT2: an encoder that pools by wavelets and the decoder that unpools, for photographs."""
    encoders, decoders = by_level(pieces)
    if not encoders or not decoders:
        role = "encoder" if decoders else "decoder"
        raise ModelError(f"{pieces[0].path} is of WCT2 and lacks its {role}; give wave_{role}_*_l4.pth too")
    (encoder,), (decoder,) = encoders.values(), decoders.values()
    state, widths = folded(encoder)
    with fitting(decoder):
        photo = WaveDecoder.from_state(decoder.tensors)
    if photo.widths != widths:
        raise ModelError(f"{encoder.path} and {decoder.path} have other widths; give the files of one model")
    tensors = prefixed("encoder", {**state, "haar": torch.ones(1)}) | prefixed("photo", decoder.tensors)
    name = "wct2-cat5" if photo.concatenated else "wct2-sum"
    return Converted(name, name, tensors, {"unpooling": name[5:], "licence": "WCT2 (NAVER Corp.): MIT"})


def is_normalised(state: Mapping[str, Tensor]) -> bool:
    """Return whether an encoder is, as far as it goes, the published `vgg_normalised`."""
    pairs = zip(conv_names(), NORMS, strict=True)
    return all(
        abs(float(state[key].double().norm()) / norm - 1) < (EXACT if block < 4 else ROUNDED)
        for (block, index), norm in pairs
        if (key := f"conv{block}_{index}.weight") in state
    )


def by_level(pieces: Sequence[Piece]) -> tuple[dict[int, Piece], dict[int, Piece]]:
    """Return encoders and decoders by level. Raises ModelError for two of one level."""
    roles: dict[str, dict[int, Piece]] = {"encoder": {}, "decoder": {}}
    for piece in sorted(pieces, key=lambda piece: piece.form.level):
        role, level = piece.form.role, piece.form.level
        if other := roles[role].get(level):
            raise ModelError(
                f"{other.path} and {piece.path} are both the {role} of level {level}; give one of them"
            )
        roles[role][level] = piece
    return roles["encoder"], roles["decoder"]


@contextmanager
def fitting(piece: Piece) -> Iterator[None]:
    """Raise ModelError when the tensors of a file cannot be convolutions that follow each other."""
    try:
        yield
    except (KeyError, RuntimeError, IndexError) as error:
        reason = "has convolutions whose shapes do not fit each other"
        raise ModelError(f"{piece.path} {reason}; download the published file again") from error


def folded(piece: Piece, first: AffineMap | None = None) -> tuple[dict[str, Tensor], tuple[int, ...]]:
    """Return the state dict of an encoder with its preprocessing in the first convolution, and its widths.

    That is exact, as reflection padding copies pixels. first: the preprocessing, where the file has none.
    Raises ModelError when shapes do not fit each other.
    """
    state = dict(piece.tensors)
    with fitting(piece):
        if first is None:
            matrix, offset = state.pop(f"{PREPROCESSING}.weight"), state.pop(f"{PREPROCESSING}.bias")
            if (matrix.shape, offset.shape) != ((3, 3, 1, 1), (3,)):
                raise RuntimeError(f"{PREPROCESSING} does not map RGB")
            first = AffineMap(matrix[:, :, 0, 0].double(), offset.double())
        widths = Encoder.from_state(state).widths
    state["conv1_1.weight"], state["conv1_1.bias"] = first.fold(
        state["conv1_1.weight"], state["conv1_1.bias"]
    )
    return state, widths


def decoder_state(piece: Piece, encoder: Piece, widths: tuple[int, ...]) -> dict[str, Tensor]:
    """Return the state dict of a decoder. Raises ModelError unless `encoder`, of `widths`, fits."""
    level = piece.form.level
    if level > len(widths):
        raise ModelError(
            f"{piece.path} decodes level {level}, and {encoder.path} ends at level {len(widths)}; "
            f"give the encoder of level {level} too"
        )
    state = {**piece.tensors, "nearest": torch.ones(1)}
    with fitting(piece):
        decoder = Decoder.from_state(state, level)
    if decoder.widths != widths[:level]:
        raise ModelError(
            f"{piece.path} has the widths {_listed(decoder.widths)} and {encoder.path} has "
            f"{_listed(widths[:level])}; give the files of one model"
        )
    return state


def _listed(widths: tuple[int, ...]) -> str:
    return ", ".join(map(str, widths))


FAMILIES: dict[str, Callable[[list[Piece]], Converted]] = {
    "sequential": sequential,
    "torchvision": torchvision,
    "distilled": distilled,
    "wavelets": wavelets,
}
"""Assemblers of models by the family of their files."""


def convert(paths: Sequence[Path]) -> Converted:
    """Bring the files of one model into our format. Raises ModelError where they are not that."""
    if not paths:
        raise ModelError("no checkpoint is given; give the files of one model")
    files = {path: read_checkpoint(path) for path in paths}
    for path, tensors in files.items():
        if transposer_layout(tensors):
            return _transposer(path, tensors, len(files))
        if any(key.split(".")[0] in PARTS for key in tensors):
            return _own(path, tensors, len(files))
    pieces = [identify(path, tensors) for path, tensors in files.items()]
    others = [piece for piece in pieces if piece.form.family != pieces[0].form.family]
    if others:
        raise ModelError(
            f"{pieces[0].path} and {others[0].path} are of different formats; give the files of one model"
        )
    model = FAMILIES[pieces[0].form.family](pieces)
    build_model(model.name, model.tensors)
    return replace(model, header={"layout": model.format, "sources": _sources(files), **model.header})


def _own(path: Path, tensors: dict[str, Tensor], files: int) -> Converted:
    """Return a model that is in our format already."""
    if files > 1:
        raise ModelError(f"{path} is a whole model of texsynth; give it alone")
    header = read_weights(path)[1] if path.suffix == ".safetensors" else {}
    build_model(str(path), tensors)
    whole = {key: value.float() for key, value in tensors.items()}
    return Converted("texsynth", path.stem, whole, {**header, "sources": _sources([path])})


def _transposer(path: Path, tensors: dict[str, Tensor], files: int) -> Converted:
    """Return a Transposer as it is. Raises ModelError unless it is one file of ours."""
    if files > 1 or path.suffix != ".safetensors":
        raise ModelError(f"{path} is a Transposer; give it alone, as the .safetensors file of its training")
    load_network(str(path))
    return Converted("texsynth", path.stem, tensors, {})


def _sources(paths: Iterable[Path]) -> str:
    """Return names and hashes of files, for the header of a model made from them."""
    return json.dumps([{"file": path.name, "sha256": file_hash(path)} for path in paths])
