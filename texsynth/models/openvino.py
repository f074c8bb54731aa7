"""Encoders and decoders that OpenVINO computes on CPUs, in the place of torch.

Torch keeps what needs gradients, and what OpenVINO is not faster at: single steps from level to level, as
photo mode takes them, the first convolution of a decoder, which has the map of the style in it, and level 1.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from threading import Lock
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

from texsynth.config.settings import StylizeSettings
from texsynth.errors import UsageError
from texsynth.models.autoencoder import Decoder
from texsynth.models.onnx_export import to_onnx
from texsynth.models.registry import Model
from texsynth.models.vgg import Encoder, LevelEncoders, inference

_N = TypeVar("_N", bound=nn.Module)

HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}
"""Number types as OpenVINO calls them; left alone it takes bfloat16 wherever the processor has it."""

BITS = {torch.float32: torch.float32, torch.bfloat16: torch.int16}
"""Types of the same size that NumPy has."""


def missing_libraries() -> list[str]:
    """Return the libraries that this needs and that are not installed."""
    return [name for name in ("onnx", "openvino") if find_spec(name) is None]


def through_openvino(model: Model) -> Model:
    """Return `model` with an encoder and decoders that OpenVINO computes; decoders with skips stay torch's.

    Raises UsageError without OpenVINO, and for devices and number types that it is not used for here.
    """
    if missing := missing_libraries():
        raise UsageError(
            f"--backend openvino needs {' and '.join(missing)}; install with `pip install "
            f'"texsynth[openvino]"`, or use --backend torch'
        )
    if model.device.type != "cpu":
        raise UsageError(
            f"--backend openvino computes on CPUs, not on {model.device}; use --device cpu or --backend torch"
        )
    if model.dtype not in HINTS:
        raise UsageError("--backend openvino has no float16; use --dtype float32 or bfloat16")
    own = model.encoder
    if isinstance(own, LevelEncoders):
        encoder: Encoder | LevelEncoders = LevelEncoders(
            {int(level): _Encoder.like(net) for level, net in own.own.items() if isinstance(net, Encoder)}
        )
    else:
        encoder = _Encoder.like(own)
    decoders = {level: _Decoder.like(net) for level, net in model.decoders.items()}
    return replace(model, encoder=encoder, decoders=decoders, backend="openvino")


def left_to_torch(settings: StylizeSettings) -> str:
    """Say what torch does where another backend is asked for; empty when nothing."""
    if settings.mode == "photo":
        return "photo mode gains nothing from another backend, so torch computes it"
    if settings.transform.name == "optimize" or settings.finish.steps:
        return "only torch has gradients, so it computes the descent on the picture"
    return ""


class _Compiled:
    """Parts of a network, compiled when they are first used, for pictures of any size."""

    def __init__(self) -> None:
        self._parts: dict[object, Any] = {}
        self._free = Lock()  # A compiled part takes one input at a time, and threads may share a model

    def __call__(self, key: object, part: Callable[[], nn.Module], x: Tensor) -> Tensor:
        """Compute `part`, a float32 network known by `key`, on x (N, C, h, w). Returns channels last."""
        with self._free:
            return self._compute(key, part, x)

    def _compute(self, key: object, part: Callable[[], nn.Module], x: Tensor) -> Tensor:
        if key not in self._parts:
            self._parts[key] = _compile(part(), x.shape[1], HINTS[x.dtype])
        import openvino

        # Both sides keep channels last, so nothing is copied on the way in. NumPy has no bfloat16.
        rows = x.permute(0, 2, 3, 1).contiguous()
        values = rows.view(BITS[x.dtype]).numpy()
        request, kind = self._parts[key], getattr(openvino.Type, HINTS[x.dtype])
        request.infer({0: openvino.Tensor(values, openvino.Shape(rows.shape), kind)}, share_inputs=True)
        bits = torch.from_numpy(request.get_output_tensor(0).data.view(values.dtype))
        # Copied, since the next call will write over it.
        return bits.view(x.dtype).clone().permute(0, 3, 1, 2)


def _compile(part: nn.Module, channels: int, hint: str) -> Any:  # noqa: ANN401 (no types there)
    import openvino
    import openvino.preprocess

    free = {0: "n", 2: "h", 3: "w"}
    data = to_onnx(part, (torch.zeros(1, channels, 32, 32),), ["x"], ["y"], {"x": free, "y": free})
    core = openvino.Core()
    options = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    places = openvino.preprocess.PrePostProcessor(core.read_model(data))
    for place in (places.input(), places.output()):
        place.tensor().set_element_type(getattr(openvino.Type, hint)).set_layout(openvino.Layout("NHWC"))
        place.model().set_layout(openvino.Layout("NCHW"))
    return core.compile_model(places.build(), "CPU", options).create_infer_request()


def _needs_gradient(x: Tensor) -> bool:
    return x.requires_grad and torch.is_grad_enabled()


class _Part(nn.Module):
    """A network with one method of another as its forward."""

    def __init__(self, network: nn.Module, method: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.method = network, method

    def forward(self, x: Tensor) -> Tensor:
        return self.method(x)


class _Encoder(Encoder):
    """An encoder as before but for who computes; copies of it are torch's."""

    @classmethod
    def like(cls, other: Encoder) -> Self:
        """Copy the weights and the number type of another."""
        new = cls(other.widths, other.pooling)
        new.compiled = _Compiled()
        return inference(_filled(new, other), None, next(other.parameters()).dtype)

    compiled: _Compiled

    def __deepcopy__(self, memo: dict[int, object]) -> Encoder:
        """Return an encoder of torch, which other number types and gradients need."""
        return inference(
            _filled(Encoder(self.widths, self.pooling), self), None, self.conv(1, 1).weight.dtype
        )

    def segment(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Go from level `start` (0 is the image) to level `stop`. Shapes (N, C, h, w)."""
        # One step is not worth the way there and back; the first convolution alone takes five times as long.
        if stop - start < 2 or _needs_gradient(x):
            return super().segment(x, start, stop)

        def part() -> nn.Module:
            plain = copy.deepcopy(self).float()
            return _Part(plain, lambda y: plain.segment(y, start, stop))

        return self.compiled((start, stop), part, x)


class _Decoder(Decoder):
    """A decoder as before but for who computes all steps but the first, which has the map of the style."""

    @classmethod
    def like(cls, other: Decoder) -> Self:
        """Copy the weights and the number type of another."""
        new = cls(other.widths, other.level, other.upsampling, other.bottleneck)
        new.compiled = _Compiled()
        return inference(_filled(new, other), None, next(other.parameters()).dtype)

    compiled: _Compiled

    def rest(self, x: Tensor) -> Tensor:
        """Do all steps but the first."""
        if self.level == 1 or _needs_gradient(x):
            return super().rest(x)

        def part() -> nn.Module:
            plain = Decoder(self.widths, self.level, self.upsampling, self.bottleneck)
            return _Part(_filled(plain, self).eval(), plain.rest)

        return self.compiled("rest", part, x)


def _filled(network: _N, other: nn.Module) -> _N:
    network.load_state_dict({key: value.float() for key, value in other.state_dict().items()})
    return network.requires_grad_(False)
