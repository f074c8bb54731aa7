"""Weight files: safetensors with provenance in the header, written as float16."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from texsynth import strict_json
from texsynth.errors import ModelError
from texsynth.images.files import store, writing
from texsynth.models.hub.cache import check_hash, file_hash
from texsynth.models.hub.catalog import ASSETS, SUFFIX, cache_folder
from texsynth.paths import exists, unreadable

if TYPE_CHECKING:
    from torch import Tensor

PARTS = (
    *("encoder", "encoder1", "encoder2", "encoder3", "encoder4", "encoder5"),
    *("decoder1", "decoder2", "decoder3", "decoder4", "decoder5", "photo"),
)
"""Parts of a model, prefixes of its tensors and names of the files of a training run."""


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors and header of a safetensors file. Raises ModelError when it is missing or damaged."""
    if reason := unreadable(path):
        raise ModelError(f"model file {path} {reason}; reinstall texsynth or give another --model")
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            for key, tensor in tensors.items():
                if str(tensor.dtype).removeprefix("torch.") not in TYPES:
                    raise ModelError(f"model file {path} is no network of texsynth: {key} is {tensor.dtype}")
            return tensors, dict(file.metadata() or {})
    except (SafetensorError, OSError, *UNREADABLE) as error:
        raise ModelError(f"model file {path} is damaged ({error}); install it again") from error


def read_checked(path: Path) -> tuple[dict[str, Tensor], dict[str, str], str]:
    """Return tensors, header and SHA-256. Raises ModelError: missing, damaged, or not as it was stored."""
    digest = "" if unreadable(path) else file_hash(path)
    if digest and path.parent in (ASSETS, cache_folder()):
        check_hash(path, digest)
    return *read_weights(path), digest


def write_weights(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Save as float16, as `write_exact` does. Raises ModelError for a value that float16 cannot hold."""
    half = {key: value.half() for key, value in tensors.items()}
    bad = [key for key, value in half.items() if not value.isfinite().all()]
    if bad:
        raise ModelError(f"weights {bad[0]} do not fit in float16; train again with a lower rate")
    write_exact(path, half, header)


def write_exact(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Save without rounding, whole or not at all, in a folder that is made. Raises OutputError."""
    from safetensors.torch import save

    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    stored = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    # Sorted, as style cards and records know a network by the hash of its file.
    store(in_order(save(stored, dict(header))), path, force=True)


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the entries below `prefix.`, without it."""
    return {key[len(prefix) + 1 :]: v for key, v in tensors.items() if key.startswith(prefix + ".")}


def decoder_part(tensors: Mapping[str, Tensor], level: int) -> dict[str, Tensor]:
    """Return the entries of the decoder of `level`, nothing without one.

    One with a bottleneck ends at the next finer level, and that level's decoder completes it.
    """
    own = part(tensors, f"decoder{level}")
    if not own or level == 1 or f"inv{level - 1}_1.weight" in own:
        return own
    return {**decoder_part(tensors, level - 1), **own}


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries with `prefix.` before their names; `part` undoes it."""
    return {f"{prefix}.{key}": value for key, value in tensors.items()}


def collect(folder: Path) -> dict[str, Tensor]:
    """Return the weights of a run: the encoder, and every finished part. Raises ModelError without one."""
    tensors: dict[str, Tensor] = {}
    for path in (folder / f"{name}{SUFFIX}" for name in PARTS):
        if exists(path):
            tensors |= read_weights(path)[0]
    if not part(tensors, "encoder"):
        raise ModelError(f"{folder} has no encoder.safetensors; run `texsynth train encoder` first")
    return tensors


_WIDTH = re.compile(r"encoder[1-5]?\.conv([1-5])_1\.weight")
"""Tensors whose shapes give the widths; encoders of their own for every level have its number."""


TRANSPOSERS: Mapping[str, str] = {"copies": "borders.stem.weight", "paper": "pixels.weight"}
"""Layouts of Transposers, and a tensor that only they have."""


def transposer_layout(names: Collection[str]) -> str | None:
    """Return the layout of the Transposer that has tensors of these names; None for other networks."""
    return next((layout for layout, name in TRANSPOSERS.items() if name in names), None)


@dataclass(frozen=True)
class Facts:
    """A file at a glance. widths: channels of the encoder's blocks. levels: those with a decoder."""

    widths: tuple[int, ...]
    levels: tuple[int, ...]
    has_photo: bool
    bytes: int
    provenance: Mapping[str, str]
    transposer: str | None = None  # Layout of a Transposer; None for a model of features

    @property
    def kind(self) -> str:
        """What the network is for."""
        return "transposer" if self.transposer else "features"


TYPES = ("float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool")
"""Types of tensors that all of torch can compute with."""

UNREADABLE = (LookupError, ValueError, TypeError, AttributeError)
"""What the library raises, besides its own error and those of the system, for types that it does not know."""

MISFITS = (LookupError, RuntimeError, ValueError, TypeError, AttributeError, ArithmeticError)
"""What tensors of other names, shapes or types than a network has raise when it is made of them."""


def header_of(data: bytes) -> dict[str, Any]:
    """Return the header of a safetensors file: its length in 8 bytes, then JSON. Raises ValueError."""
    header = strict_json.parse(data[8 : 8 + int.from_bytes(data[:8], "little")], is_text=False)
    if not isinstance(header, dict):
        raise ValueError("its header is no mapping")
    return header


def metadata_of(data: bytes) -> dict[str, str]:
    """Return the texts in the header of a safetensors file. Raises ValueError."""
    metadata = header_of(data).get("__metadata__")
    if metadata is None:
        return {}
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("its metadata are no mapping of texts")
    return metadata


def in_order(data: bytes) -> bytes:
    """Return the safetensors file `data` with sorted keys; the library shuffles those of its header."""
    text = json.dumps(header_of(data), sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors are aligned to 8 bytes
    return len(text).to_bytes(8, "little") + text + data[8 + int.from_bytes(data[:8], "little") :]


def facts_of(path: Path) -> Facts:
    """Return facts about the file `path`. Raises ModelError when it is missing, damaged or no network."""
    if reason := unreadable(path):
        raise ModelError(f"model file {path} {reason}; give another one")
    try:
        with safe_open(path, "np") as file:  # opens files of whole length alone
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
            provenance = dict(file.metadata() or {})
        widths = {m[1]: shape[0] for key, shape in sorted(shapes.items()) if (m := _WIDTH.fullmatch(key))}
    except (SafetensorError, OSError, *UNREADABLE) as error:
        raise ModelError(f"model file {path} is damaged or no safetensors file ({error})") from error
    if "copy.key.weight" in shapes:
        raise ModelError(f"{path} is a Transposer of version 0.1, whose kind is gone; use `train borders`")
    if layout := transposer_layout(shapes):
        # Of layout paper, the channels at the output's size, on which its memory depends.
        last = tuple(shape[1] for name, shape in shapes.items() if name == "pixels.weight" and len(shape) > 1)
        if layout == "paper" and not last:
            raise ModelError(f"{path} is no whole Transposer of layout paper; give another one")
        return Facts(last, (), False, path.stat().st_size, provenance, layout)
    if not widths:
        raise ModelError(f"{path} is not a texsynth model; it has no encoder")
    parts = {key.partition(".")[0] for key in shapes}
    levels = tuple(level for level in range(1, 6) if f"decoder{level}" in parts)
    return Facts(tuple(widths.values()), levels, "photo" in parts, path.stat().st_size, provenance)
