"""Checkpoint files that strangers made: tensors and nothing else, known by the names of the modules in them.

A form is one kind of file: which module holds which of our convolutions. Widths are not part of it; the
tensors have them. Sources: the network definitions of the repositories named below.
"""

import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from texsynth.errors import MemoryExhaustedError, ModelError, is_exhaustion
from texsynth.models.hub.catalog import SUFFIX
from texsynth.models.vgg import BLOCKS, LEVELS, conv_names
from texsynth.models.weights import read_weights
from texsynth.paths import unreadable

PREPROCESSING = "preprocessing"
"""Our name for the 1x1 convolution that brings RGB in [0, 1] to what a network was trained on."""

WRAPPERS = ("model", "state_dict")
"""Keys under which training scripts keep the state dict beside other things."""

DTYPES = frozenset({torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32})
"""Types of numbers that checkpoints have; others lack the operations that are needed."""

SHOWN = 3  # Tensors that a message names


@dataclass(frozen=True)
class Form:
    """One kind of file."""

    family: str  # Files of one model are of one family
    role: Literal["encoder", "decoder"]
    level: int  # The coarsest; a decoder begins there
    names: Mapping[str, str]  # Module in the file to ours, both in forward order
    unread: str = ""  # Pattern of modules that we have no use for

    @property
    def keys(self) -> dict[str, str]:
        """Names of the weights and biases in the file to ours."""
        kinds = ("weight", "bias")
        return {f"{module}.{k}": f"{ours}.{k}" for module, ours in self.names.items() for k in kinds}

    def fits(self, tensors: Mapping[str, Tensor]) -> bool:
        """Return whether the file has these modules, with weight and bias, and nothing else that counts."""
        counted = {key for key in tensors if not re.fullmatch(self.unread, key.rpartition(".")[0])}
        return counted == self.keys.keys()


def _numbered(
    prefix: str, convs: Sequence[tuple[int, int]], name: str, first: int, step: int
) -> dict[str, str]:
    """Name convolutions of a `nn.Sequential`, `step` apart, with a resampling between the blocks."""
    begin = convs[0][0]
    return {
        f"{prefix}{first + step * k + abs(block - begin)}": f"{name}{block}_{index}"
        for k, (block, index) in enumerate(convs)
    }


def _sequential(level: int) -> tuple[Form, Form]:
    """Return the forms of naoto0804/pytorch-AdaIN (net.py) and PytorchWCT: padding, convolution, ReLU."""
    convs = conv_names(level)
    # The whole network goes on to relu5_4, and training alone reads that.
    unread = "45|48|51" if level == LEVELS[-1] else ""
    encoder = {"0": PREPROCESSING, **_numbered("", convs, "conv", 2, 3)}
    decoder = _numbered("", convs[::-1], "inv", 1, 3)
    return (
        Form("sequential", "encoder", level, encoder, unread),
        Form("sequential", "decoder", level, decoder),
    )


TORCHVISION = Form(
    "torchvision",
    "encoder",
    LEVELS[-1],
    _numbered("features.", conv_names(), "conv", 0, 2),
    r"features\.(30|32|34)|classifier\.\d+",
)
"""`torchvision.models.vgg19`, whole or its `features` alone."""


def _distilled(level: int) -> tuple[Form, Form]:
    """Return the forms of MingSun-Tse/Collaborative-Distillation (model_cd.py, model_kd2sd.py) at a level.

    The 1x1 convolutions to and from the widths of VGG-19 were of use in training alone.
    """
    convs = conv_names(level)
    encoder = {"conv0": PREPROCESSING} | {f"conv{b}{i}": f"conv{b}_{i}" for b, i in convs}
    decoder = {f"conv{b}{i}": f"inv{b}_{i}" for b, i in convs[::-1]}
    return (
        Form("distilled", "encoder", level, encoder, r"conv\d1_aux"),
        Form("distilled", "decoder", level, decoder, r"aux\d1"),
    )


def _wavelets() -> tuple[Form, ...]:
    """Return the forms of clovaai/WCT2 (model.py); the filters of the wavelets are in the files too."""
    level, bands = 4, "(LL|LH|HL|HH)"
    convs = conv_names(level)
    encoder = {"conv0": PREPROCESSING} | {f"conv{b}_{i}": f"conv{b}_{i}" for b, i in convs}
    summed = {f"conv{b}_{i}": f"inv{b}_{i}" for b, i in convs[::-1]}
    joining = {f"conv{b}_{BLOCKS[b - 1]}" for b in range(1, level)}
    concatenated = {f"{name}_2" if name in joining else name: ours for name, ours in summed.items()}
    return (
        Form("wavelets", "encoder", level, encoder, rf"pool\d\.{bands}"),
        Form("wavelets", "decoder", level, summed, rf"recon_block\d\.{bands}"),
        Form("wavelets", "decoder", level, concatenated, rf"recon_block\d\.{bands}"),
    )


FORMS = (
    *(form for level in LEVELS for form in _sequential(level)),
    TORCHVISION,
    *(form for level in LEVELS for form in _distilled(level)),
    *_wavelets(),
)


@dataclass(frozen=True)
class Piece:
    """A file whose form is known."""

    path: Path
    form: Form
    tensors: dict[str, Tensor]  # In our names
    whole: bool  # True if the file goes on beyond what is read


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a file. Raises ModelError: missing, damaged, or not of finite tensors."""
    if reason := unreadable(path):
        raise ModelError(f"{path} {reason}; give the checkpoint files of one model")
    state = read_weights(path)[0] if path.suffix == SUFFIX else _state_dict(path)
    for key, value in state.items():
        counts = key.endswith(".num_batches_tracked")  # of batch norm, whole numbers
        if not (value.is_floating_point() or counts) or not bool(value.isfinite().all()):
            raise ModelError(f"{path}: {key} has values that are no finite numbers; download the file again")
    return state


def identify(path: Path, tensors: dict[str, Tensor]) -> Piece:
    """Return the tensors of the file `path` with its form. Raises ModelError for none that is known."""
    form = next((form for form in FORMS if form.fits(tensors)), None)
    if form is None:
        keys = sorted(tensors)
        shown = ", ".join(keys[:SHOWN]) + (", …" if len(keys) > SHOWN else "")
        raise ModelError(
            f"{path} is of no format that texsynth reads (it holds {shown or 'no tensors'}); give files of "
            "vgg_normalised, torchvision, PytorchWCT, pytorch-AdaIN, WCT2 or Collaborative-Distillation"
        )
    renamed = {ours: tensors[key].float() for key, ours in form.keys.items()}
    return Piece(path, form, renamed, len(tensors) > len(renamed))


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:
        _check_archive(path)
        # Tensors alone: a pickle may otherwise run any code.
        content: object = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make an unpickler fail in any way
        if is_exhaustion(error):
            raise MemoryExhaustedError(f"{path} does not fit in memory") from error
        raise ModelError(
            f"{path} is damaged or holds more than tensors, and is not read; "
            "download it again, or save its state dict with torch.save"
        ) from error
    if isinstance(content, dict):
        content = next((content[key] for key in WRAPPERS if isinstance(content.get(key), dict)), content)
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelError(f"{path} holds no state dict; save one with torch.save(network.state_dict(), ...)")
    state = {str(key): value.detach() for key, value in content.items()}
    left = path.stat().st_size
    for key, value in state.items():
        left -= value.numel() * value.element_size() if _is_plain(value) else left + 1
        # Tensors may show numbers of a file many times over, which take their memory when they are used.
        if left < 0:
            raise ModelError(
                f"{path}: {key} is no plain tensor of the numbers in the file; "
                "save the state dict of contiguous tensors on the CPU"
            )
    return state


def _check_archive(path: Path) -> None:
    """Raise ValueError for an archive that is larger than its file once it is unpacked."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
                raise ValueError("its parts are packed")


def _is_plain(value: Tensor) -> bool:
    """Return whether the numbers of a tensor are all in memory, each on its own."""
    is_usual = value.layout == torch.strided and value.device.type == "cpu" and value.dtype in DTYPES
    if not is_usual or value.is_nested:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()
