"""Muon for convolution kernels, Adam for everything else, behind one interface; and number types.

Muon (Jordan et al. 2024) orthogonalises the momentum of a matrix; PyTorch's takes matrices only, so each
kernel (O, I, 3, 3) is shown to it as a view (O, 9 I).
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from texsynth.device import pick_dtype
from texsynth.errors import UsageError

Kind = Literal["muon+adam", "adam"]


class Optimizer:
    """Muon on 4-D parameters, Adam on the rest; or Adam on both, each with its rate."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], kernel_rate: float, rate: float, kind: Kind = "muon+adam"
    ) -> None:
        """kernel_rate, rate: of the two; without 4-D parameters there is one part, plain Adam with `rate`."""
        parameters = list(parameters)
        kernels = [p for p in parameters if p.ndim == 4]
        rest = [p for p in parameters if p.ndim != 4]
        self.param_groups = [{"params": parameters}]
        """The parameters, for a GradScaler."""
        self.rates: tuple[float, ...] = (kernel_rate, rate) if kernels else (rate,)
        self.kernels: list[tuple[nn.Parameter, nn.Parameter]] = []
        """With Muon every kernel and the matrix that shares its memory."""
        self.parts: list[torch.optim.Optimizer]
        if not kernels:
            self.parts = [torch.optim.Adam(rest, lr=rate)]
        elif kind == "adam":
            self.parts = [torch.optim.Adam(kernels, lr=kernel_rate), torch.optim.Adam(rest, lr=rate)]
        else:
            check_muon()
            self.kernels = [(p, nn.Parameter(_matrix(p.data))) for p in kernels]
            if any(m.data_ptr() != p.data_ptr() for p, m in self.kernels):
                raise ValueError("kernels must be stored channels last, so that their matrices share memory")
            matrices = [m for _, m in self.kernels]
            self.parts = [
                torch.optim.Muon(matrices, kernel_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
                torch.optim.Adam(rest, lr=rate, betas=(0.9, 0.98)),
            ]

    def scale_rates(self, factor: float) -> None:
        """Set both learning rates to `factor` times their base."""
        for part, rate in zip(self.parts, self.rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * factor

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for kernel, _ in self.kernels:
            kernel.grad = None
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        """Update all parameters from their gradients."""
        for kernel, matrix in self.kernels:
            matrix.grad = None if kernel.grad is None else _matrix(kernel.grad)
        for part in self.parts:
            part.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the states of all parts."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Restore all parts."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


def check_muon(kind: Kind = "muon+adam") -> None:
    """Raise UsageError when optimizer `kind` needs Muon and this torch has none."""
    if kind == "muon+adam" and not hasattr(torch.optim, "Muon"):
        raise UsageError(
            f"this training needs the optimizer Muon of torch 2.9, and torch {torch.__version__} has none; "
            "install a newer torch, or train decoders with --set optimizer=adam"
        )


def _matrix(kernel: Tensor) -> Tensor:
    """View of a channels-last kernel (O, I, kh, kw) as (O, kh * kw * I), sharing its memory."""
    return kernel.permute(0, 2, 3, 1).reshape(len(kernel), -1)


def autocast_for(device: torch.device, name: str = "auto") -> Callable[[], AbstractContextManager[Any]]:
    """Mixed precision; `auto` is native bfloat16 or none. Raises UsageError for float16 without CUDA."""
    dtype = pick_dtype(name, device)
    if dtype == torch.float32:
        return nullcontext
    if dtype == torch.float16 and device.type != "cuda":
        raise UsageError(f"precision float16 needs a CUDA device, not {device.type}; use auto or bfloat16")
    return lambda: torch.autocast(device.type, dtype)
