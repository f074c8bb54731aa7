"""Write the networks of a model as ONNX, for other runtimes, each compared with torch before."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from texsynth.errors import ModelError, UsageError
from texsynth.images.files import store, taken, writing
from texsynth.models.registry import Model
from texsynth.paths import exists

OPSET = 17

TOLERANCE = 1e-4
"""Largest difference from torch: of features as a share of their largest value, of pictures absolute."""

SIDES = ((2, 3), (3, 2), (5, 4))
"""Heights and widths, in cells of the coarsest level, of what is compared."""

INDEX = "model.json"


def check_installed() -> None:
    """Raise UsageError without the libraries that this needs."""
    if missing := [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]:
        raise UsageError(
            f'models export needs {" and ".join(missing)}; install with `pip install "texsynth[onnx]"`'
        )


def to_onnx(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    free: Mapping[str, Mapping[int, str]],
) -> bytes:
    """Trace `module` to ONNX. inputs, outputs: names. free: names of sizes that may vary, by dimension."""
    file = io.BytesIO()
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        # The exporter that needs no more than onnx; it warns that it is the older one.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, example, file,  # type: ignore[arg-type]
            dynamo=False, opset_version=OPSET, input_names=inputs, output_names=outputs, dynamic_axes=free,
        )  # fmt: skip
    return file.getvalue()


@dataclass(frozen=True)
class Network:
    """A network to be written: tensors in, tensors out, all of batch 1."""

    name: str
    module: nn.Module
    inputs: dict[str, tuple[int | str, ...]]  # Shapes by name; texts are sizes that are free
    outputs: dict[str, tuple[int | str, ...]]
    examples: Sequence[tuple[Tensor, ...]]
    pictures: bool  # True where it gives pictures, False for features

    def export(self) -> bytes:
        """Trace to ONNX. Raises ModelError where another runtime computes something else."""
        sizes = {**self.inputs, **self.outputs}
        free = {k: {i: n for i, n in enumerate(v) if isinstance(n, str)} for k, v in sizes.items()}
        data = to_onnx(self.module, self.examples[0], list(self.inputs), list(self.outputs), free)
        self._compare(data)
        return data

    def _compare(self, data: bytes) -> None:
        import onnxruntime

        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        for example in self.examples:
            with torch.no_grad():
                ours = self.module(*example)
            given = {name: x.numpy() for name, x in zip(self.inputs, example, strict=True)}
            for a, b in zip(
                ours if isinstance(ours, tuple) else (ours,), session.run(None, given), strict=True
            ):
                theirs = torch.from_numpy(b)
                off = float("inf") if a.shape != theirs.shape else float((a - theirs).abs().max())
                scale = 1.0 if self.pictures else float(a.abs().max())
                if not off <= TOLERANCE * scale:
                    raise ModelError(
                        f"{self.name} computes something else in onnxruntime than in torch (by {off:.1e} at "
                        f"{tuple(example[0].shape[2:])}); use another version of onnxruntime or torch"
                    )


class _Encode(nn.Module):
    def __init__(self, model: Model) -> None:
        super().__init__()
        self.encoder = model.encoder

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.encoder(image, len(self.encoder.widths)))


class _Decode(nn.Module):
    """Maps features, then decodes those of one level, or of several with skips."""

    def __init__(self, decoder: nn.Module, *, several: bool) -> None:
        super().__init__()
        self.decoder, self.several = decoder, several

    def forward(self, *given: Tensor) -> Tensor:
        mapped = [_mapped(*given[i : i + 3]) for i in range(0, len(given), 3)]
        picture = self.decoder(mapped if self.several else mapped[0])
        assert isinstance(picture, Tensor)
        return picture


def _mapped(features: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Do what an `AffineMap` does to features (1, C, h, w), matrix (C, C), offset (C,)."""
    rows = torch.matmul(matrix, features.flatten(2)) + offset[:, None]
    return rows.reshape(features.shape)


def networks(model: Model) -> Iterator[Network]:
    """Yield the encoder and the decoders of a float32 model on the CPU."""
    widths, rng = model.encoder.widths, torch.Generator().manual_seed(0)
    stride = 2 ** (len(widths) - 1)

    def features(levels: Sequence[int], rows: int, columns: int) -> tuple[Tensor, ...]:
        """Features of a coarsest level of this size, and those of finer ones, each with a map."""
        parts = []
        for level in levels:
            channels, scale = widths[level - 1], 2 ** (levels[-1] - level)
            mixed = torch.randn(channels, channels, generator=rng) * (0.1 / channels**0.5)
            parts += [
                torch.rand(1, channels, rows * scale, columns * scale, generator=rng),
                0.9 * torch.eye(channels) + mixed,
                0.1 * torch.randn(channels, generator=rng),
            ]
        return tuple(parts)

    # Beside whole cells some odd sizes, which levels are pooled from as from one more line.
    sizes = [(stride * h + 1, stride * w - odd) for odd, (h, w) in enumerate(SIDES)]
    yield Network(
        "encoder", _Encode(model), {"image": (1, 3, "height", "width")},
        {f"features_{n}": (1, c, f"height_{n}", f"width_{n}") for n, c in enumerate(widths, 1)},
        [(torch.rand(1, 3, h, w, generator=rng),) for h, w in sizes], pictures=False,
    )  # fmt: skip
    decoders = [(f"decoder_{level}", net, [level]) for level, net in sorted(model.decoders.items())]
    photo = (
        [] if model.photo is None else [("photo", model.photo, list(range(1, len(model.photo.widths) + 1)))]
    )
    for name, net, levels in [*decoders, *photo]:
        inputs: dict[str, tuple[int | str, ...]] = {}
        for level in levels:
            channels = widths[level - 1]
            inputs |= {
                f"features_{level}": (1, channels, f"height_{level}", f"width_{level}"),
                f"matrix_{level}": (channels, channels),
                f"offset_{level}": (channels,),
            }
        examples = [features(levels, h, w) for h, w in SIDES]
        module = _Decode(net, several=name == "photo")
        yield Network(name, module, inputs, {"image": (1, 3, "height", "width")}, examples, pictures=True)


def export(model: Model, folder: Path, *, force: bool = False) -> Iterator[Path]:
    """Write every network of `model`, then the index of all, and yield each file. Nothing is half-written.

    model: float32 on the CPU. folder: made when missing. force: replace files. Raises OutputError before any
    work where a file is there, ModelError where a network computes something else in onnxruntime.
    """
    nets = list(networks(model))
    paths = [folder / f"{net.name}.onnx" for net in nets]
    for path in (*paths, folder / INDEX):
        if not force and exists(path):
            raise taken(path)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    data = [net.export() for net in nets]
    for path, content in zip(paths, data, strict=True):
        store(content, path, force=force)
        yield path
    index = {
        "model": model.name,
        "weights_sha256": model.sha256,
        "licence": model.provenance.get("licence", "unknown; see `texsynth models show`"),
        "opset": OPSET,
        "values": {
            "image": "sRGB in [0, 1]; clamp what decoders give",
            "features": "at least 0, of about unit mean",
            "matrix, offset": "mapped features are matrix @ features + offset, at every cell",
        },
        "sizes": f"sides of pictures are at least {2 * 2 ** (len(model.encoder.widths) - 1)}; level L has "
        "ceil(side / 2 ** (L - 1)) cells, and decoders give 2 ** (L - 1) pixels for each, to be cropped; "
        "those of `photo` must be multiples of the coarsest cell",
        "networks": {
            path.name: {"inputs": net.inputs, "outputs": net.outputs}
            for path, net in zip(paths, nets, strict=True)
        },
    }
    store((json.dumps(index, indent=2) + "\n").encode(), folder / INDEX, force=force)
    yield folder / INDEX
