"""Compare two ways to compute the same thing: small seeded problems, relative errors, bounds.

The error of a part is max|a - b| / max|b|. Its bound is `roundings` eps, with eps the machine epsilon of the
number type in use: 64 (1.4e-14 in float64, 7.6e-6 in float32) are above what the short sums here round to and
far below what a wrong formula gives. Iterations round again in every step. Parts of the program that compute
in float32 at least are held to the epsilon of float32 when they are fed bfloat16 or float16; what is returned
in such a type may be off by another HALF_ROUNDINGS of its own epsilon.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

SEED = 0

Tensors = Sequence[Tensor]

FULL = (torch.float64, torch.float32)  # Types that formulas are compared in

DIFFERENCES = 1024
"""Roundings of central differences, in units of eps^(2/3): the best step leaves an error of that order times
a third derivative. The bound is 3.8e-8."""

ALL = (*FULL, torch.bfloat16, torch.float16)
"""Types that the networks run in, and the losses are fed."""

HALF_ROUNDINGS = 4
"""Times that a part may round to the short type that it runs in: products, bias, sum of copies, result."""


@dataclass(frozen=True)
class Problem:
    """Numbers for a check, drawn on the CPU and in float64, so that they are the same everywhere."""

    device: torch.device
    dtype: torch.dtype
    rng: torch.Generator

    def normal(self, *shape: int, offset: float = 0.0) -> Tensor:
        """Draw normal numbers around `offset`, in the type and on the device of the problem."""
        return self.put(torch.randn(*shape, generator=self.rng, dtype=torch.float64) + offset)

    def uniform(self, *shape: int) -> Tensor:
        """Draw numbers in [0, 1)."""
        return self.put(torch.rand(*shape, generator=self.rng, dtype=torch.float64))

    def distinct(self, *shape: int) -> Tensor:
        """Draw whole numbers, no two alike, small enough for every type."""
        order = torch.randperm(math.prod(shape), generator=self.rng)
        return self.put(order.reshape(shape) - math.prod(shape) // 2)

    def labels(self, count: int, classes: int) -> Tensor:
        """Draw (count,) integers below `classes`."""
        return torch.randint(classes, (count,), generator=self.rng).to(self.device)

    def put(self, x: Tensor) -> Tensor:
        """Move x to the type and device of the problem."""
        return x.to(self.dtype).to(self.device)


@dataclass(frozen=True)
class Comparison:
    """One number or tensor in two ways."""

    name: str
    got: Tensor
    expected: Tensor


@dataclass(frozen=True)
class Check:
    """A named comparison, where its formula is printed, and the types that it is meant for.

    power: of the epsilon in the bound: 2/3 for central differences, whose best step leaves that error.
    """

    name: str
    source: str
    parts: Callable[[Problem], Iterable[Comparison]]
    dtypes: Sequence[torch.dtype] = FULL
    roundings: float = 64
    power: float = 1

    def bound(self, got: Tensor, dtype: torch.dtype) -> float:
        """Return the largest relative error allowed for `got`, a part computed from inputs of `dtype`."""
        working = torch.promote_types(dtype, torch.float32)
        own = torch.finfo(got.dtype).eps
        half = HALF_ROUNDINGS * own if own > torch.finfo(torch.float32).eps else 0
        return half + self.roundings * math.pow(torch.finfo(working).eps, self.power)


@dataclass(frozen=True)
class Outcome:
    """The part of a check that came closest to its bound, or lay farthest beyond."""

    check: Check
    dtype: torch.dtype
    part: str = ""
    error: float = math.nan
    bound: float = math.nan
    skipped: str = ""  # Why it could not be run, or nothing

    @property
    def is_ok(self) -> bool:
        """Tell whether it was run and is within the bound; an error that is no number is not."""
        return not self.skipped and self.error <= self.bound


def run(check: Check, device: torch.device, dtype: torch.dtype) -> Outcome:
    """Carry out a check; one that the device cannot do is skipped with the reason.

    The problem depends on SEED alone. TF32 is off meanwhile: it is a choice of speed over digits, and would
    hide small errors.
    """
    missing = lacks(device, dtype)
    if missing:
        return Outcome(check, dtype, skipped=missing)
    problem = Problem(device, dtype, torch.Generator().manual_seed(SEED))
    try:
        with _full_precision():
            outcomes = [
                Outcome(check, dtype, p.name, relative_error(p.got, p.expected), check.bound(p.got, dtype))
                for p in check.parts(problem)
            ]
    except NotImplementedError as error:
        return Outcome(check, dtype, skipped=f"{device.type} cannot: {str(error).splitlines()[0]}")
    return max(outcomes, key=lambda outcome: outcome.error / outcome.bound)


def exact(*tensors: Tensor) -> list[Tensor]:
    """Convert to the same numbers in float64 on the CPU."""
    return [x.detach().cpu().double() for x in tensors]


def relative_error(got: Tensor, expected: Tensor) -> float:
    """max|got - expected| / max|expected|, infinite where something is not finite or the shapes differ."""
    a, b = got.detach().cpu().double(), expected.detach().cpu().double()
    if a.shape != b.shape or not bool(a.isfinite().all() and b.isfinite().all()):
        return math.inf
    scale, off = float(b.abs().max()), float((a - b).abs().max())
    return off / scale if scale else (math.inf if off else 0.0)


def gradients(f: Callable[..., Tensor], inputs: Tensors, grad: Tensor | None = None) -> Tensors:
    """Return the value of f(*inputs) and, by autograd, its gradients; without `grad` f is a loss."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    value = f(*leaves)
    return value.detach(), *torch.autograd.grad(value, leaves, None if grad is None else grad.to(value))


def comparisons(names: str, got: Tensors, expected: Tensors) -> Iterator[Comparison]:
    """Return a comparison for each of the `names`, which blanks separate."""
    return (Comparison(*p) for p in zip(names.split(), got, expected, strict=True))


def by_autograd(
    names: str, got: Tensors, f: Callable[..., Tensor], inputs: Tensors, grad: Tensor | None = None
) -> Iterator[Comparison]:
    """Compare `got`, a value and its gradients, with those of f."""
    return comparisons(names, got, gradients(f, inputs, grad))


def by_differences(name: str, source: str, parts: Callable[[Problem], Iterable[Comparison]]) -> Check:
    """Make a check of `slopes`, which only float64 has the digits for."""
    return Check(f"{name} by differences", source, parts, (torch.float64,), DIFFERENCES, 2 / 3)


def slopes(f: Callable[[Tensor], Tensor], x: Tensor, gradient: Tensor, rng: torch.Generator) -> Comparison:
    """Compare directional derivatives by a gradient and by central differences, for eight directions.

    The step is the cube root of the epsilon, where truncation and rounding are about equal.
    """
    step = float(torch.finfo(x.dtype).eps) ** (1 / 3)
    directions = torch.randn(8, *x.shape, generator=rng, dtype=torch.float64).to(x)
    by_gradient = (directions * gradient).flatten(1).sum(1)
    by_difference = torch.stack([(f(x + step * d) - f(x - step * d)) / (2 * step) for d in directions])
    return Comparison("slopes", by_gradient, by_difference)


def lacks(device: torch.device, dtype: torch.dtype) -> str:
    """Say why `device` cannot compute in `dtype`, or nothing."""
    try:
        torch.ones(1, dtype=dtype, device=device)
    except TypeError:
        return f"{device.type} has no {str(dtype).removeprefix('torch.')}"
    return ""


@contextmanager
def _full_precision() -> Iterator[None]:
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions
