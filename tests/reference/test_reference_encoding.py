"""The encoding layer: worked examples, the plain formulas and the program's, and what the paper left out."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from helpers.as_printed import encode_backward_as_printed
from torch import Tensor
from torch.testing import assert_close

from texsynth.models import encoding as program
from texsynth.models.encoding import encode
from texsynth.reference import encoding as plain
from texsynth.reference.comparison import relative_error

Arrays = tuple[Tensor, Tensor, Tensor, Tensor]


def exact(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def problem(n: int = 40, k: int = 6, d: int = 5, seed: int = 0) -> Arrays:
    """Upstream gradient, descriptors, codewords, smoothing factors."""
    rng = torch.Generator().manual_seed(seed)
    grad, x, codewords = (
        torch.randn(*shape, generator=rng, dtype=torch.float64) for shape in ((k, d), (n, d), (k, d))
    )
    return grad, x, codewords, torch.rand(k, generator=rng, dtype=torch.float64)


def by_program(grad: Tensor, *inputs: Tensor, weight: Tensor | None = None) -> tuple[Tensor, ...]:
    """Codes (K, D) of one picture and their three gradients."""
    x, codewords, smoothing = (t.clone().requires_grad_() for t in inputs)
    codes = encode(x[None], codewords, smoothing, weight)[0]
    return codes.detach(), *torch.autograd.grad(codes, (x, codewords, smoothing), grad)


def by_formula(grad: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return plain.encode(*inputs), *plain.encode_backward(grad, *inputs)


def check(found: tuple[Tensor, ...], *expected: Tensor) -> None:
    for mine, oracle in zip(found, expected, strict=True):
        assert_close(mine, oracle.view_as(mine), rtol=0, atol=1e-12)


FORMS = pytest.mark.parametrize("form", [by_program, by_formula])
Form = Callable[..., tuple[Tensor, ...]]


@FORMS
def test_two_codewords_by_hand(form: Form) -> None:
    inputs = exact(0)[None], exact(1, -2)[:, None], exact(1, 0.25)
    found = form(exact(1, 1)[:, None], *inputs)
    check(found, exact(-0.5, 1), exact(-1.25), exact(1, 0.25), exact(0.75, -3))


def test_the_printed_gradients_by_hand() -> None:
    inputs = exact(0)[None], exact(1, -2)[:, None], exact(1, 0.25)
    found = encode_backward_as_printed(exact(1, 1)[:, None], *inputs)
    check(found, exact(-1.25), exact(0, 0), exact(0.25, -2))


@FORMS
def test_descriptors_on_their_codewords(form: Form) -> None:
    q = 1 / (1 + math.e)
    w, points = q * (1 - q), exact(0, 1)[:, None]
    found = form(exact(1, 0)[:, None], points, points, exact(1, 1))
    check(found, exact(q, -q), exact(1 - q, q - 2 * w), exact(-1 + 2 * w, 0), exact(-w, 0))


@FORMS
def test_one_codeword_sums_the_residuals(form: Form) -> None:
    grad, x, codewords, smoothing = problem(n=9, k=1)
    found = form(grad, x, codewords, smoothing)
    check(found, x.sum(0) - 9 * codewords, grad.expand(9, -1), -9 * grad, exact(0))


@FORMS
def test_without_smoothing_codewords_share_alike(form: Form) -> None:
    grad, x, codewords, _ = problem(n=9, k=3)
    codes = form(grad, x, codewords, exact(0, 0, 0))[0]
    check((codes,), x.sum(0) / 3 - 9 / 3 * codewords)


@FORMS
def test_a_far_descriptor_is_finite(form: Form) -> None:
    found = form(exact(1, 1)[:, None], exact(1000)[None], exact(0, 1)[:, None], exact(1, 1))
    check((found[0],), exact(0, 999))
    assert all(part.isfinite().all() for part in found)


@pytest.mark.parametrize("seed", range(3))
def test_the_program_equals_the_formulas(seed: int) -> None:
    arrays = problem(seed=seed)
    check(by_program(*arrays), *by_formula(*arrays))


def test_a_weight_is_a_repetition() -> None:
    grad, x, codewords, smoothing = problem(n=12)
    counts = torch.arange(12) % 4
    found = by_program(grad, x, codewords, smoothing, weight=counts[None].double())
    codes, d_x, *rest = by_formula(grad, x.repeat_interleave(counts, 0), codewords, smoothing)
    summed = torch.zeros_like(x).index_add(0, torch.arange(12).repeat_interleave(counts), d_x)
    check(found, codes, summed, *rest)


def test_moving_everything_changes_no_code_and_the_printed_gradients_say_it_would() -> None:
    grad, *inputs = problem(n=64, k=16, d=8)
    for form in (by_program, by_formula):
        _, d_x, d_codewords, _ = form(grad, *inputs)
        assert torch.cat([d_x, d_codewords]).sum(0).abs().max() < 1e-12
    d_x, d_codewords, _ = encode_backward_as_printed(grad, *inputs)
    assert torch.cat([d_x, d_codewords]).sum(0).abs().max() > 0.1


@pytest.mark.parametrize(("alike", "medians"), [(False, [0.14, 0.38]), (True, [0.58, 0.52])])
def test_how_far_off_the_printed_gradients_are(alike: bool, medians: list[float]) -> None:
    """Medians of the relative errors of the codewords' and of the smoothing factors' gradients."""
    off = []
    for seed in range(50):
        grad, x, codewords, smoothing = problem(n=64, k=16, d=8, seed=seed)
        arrays = grad, x, codewords, torch.ones(16).double() if alike else smoothing
        true, printed = plain.encode_backward(*arrays), encode_backward_as_printed(*arrays)
        check((printed[0],), true[0])
        off.append([float((p - t).norm() / t.norm()) for p, t in zip(printed[1:], true[1:], strict=True)])
    assert torch.tensor(off).median(0).values.tolist() == pytest.approx(medians, abs=0.01)


@pytest.mark.parametrize("tile", [1, 4, 1000])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_by_differences_across_tiles(
    monkeypatch: pytest.MonkeyPatch, tile: int, weighted: bool
) -> None:
    monkeypatch.setattr(program, "TILE", tile)
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(2, 7, 3, generator=rng, dtype=torch.float64)
    _, _, codewords, smoothing = problem(k=4, d=3)
    weight = torch.rand(2, 7, generator=rng, dtype=torch.float64) if weighted else None
    leaves = [t.requires_grad_() for t in (x, codewords, smoothing)]
    assert torch.autograd.gradcheck(lambda x, c, s: encode(x, c, s, weight), leaves)
    apart = [encode(x[i : i + 1], codewords, smoothing, None if weight is None else weight[i : i + 1])
             for i in range(2)]  # fmt: skip
    assert_close(encode(x, codewords, smoothing, weight), torch.cat(apart))


def test_float32_far_from_the_origin_keeps_its_digits() -> None:
    grad, x, codewords, smoothing = (t.float() for t in problem(n=400, k=16, d=8))
    x, codewords, smoothing = 0.1 * x + 100, 0.1 * codewords + 100, 100 * smoothing
    truth = by_formula(*(t.double() for t in (grad, x, codewords, smoothing)))
    for mine, oracle in zip(by_program(grad, x, codewords, smoothing), truth, strict=True):
        assert mine.dtype == torch.float32
        assert relative_error(mine, oracle) < 1e-5
    share, _ = program.assign(x, codewords, smoothing)
    where_they_are = share.T @ x - share.sum(0)[:, None] * codewords
    assert relative_error(where_they_are, truth[0]) > 1e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_descriptors_are_encoded_in_float32(dtype: torch.dtype) -> None:
    grad, x, codewords, smoothing = (t.float() for t in problem())
    short = x.to(dtype)
    found = by_program(grad, short, codewords, smoothing)
    assert [part.dtype for part in found] == [torch.float32, dtype, torch.float32, torch.float32]
    codes, d_x, *rest = by_program(grad, short.float(), codewords, smoothing)
    for mine, oracle in zip(found, (codes, d_x.to(dtype), *rest), strict=True):
        assert torch.equal(mine, oracle)


def test_autocast_does_not_lower_the_precision() -> None:
    arrays = tuple(t.float() for t in problem())
    still = by_program(*arrays)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = by_program(*arrays)
    assert all(torch.equal(one, two) for one, two in zip(still, mixed, strict=True))


@pytest.mark.parametrize("cut", [1, 13, 39])
def test_codes_of_a_picture_are_the_sums_of_those_of_its_parts(cut: int) -> None:
    _, x, codewords, smoothing = problem()
    parts = encode(x[None, :cut], codewords, smoothing) + encode(x[None, cut:], codewords, smoothing)
    assert_close(encode(x[None], codewords, smoothing), parts, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("d", "k"), [(4, 6), (5, 7)])
def test_shapes_that_do_not_fit_are_refused(d: int, k: int) -> None:
    _, _, codewords, _ = problem()
    with pytest.raises(ValueError, match=r"must be \(B, N, D\), \(K, D\) and \(K,\)"):
        encode(torch.zeros(1, 3, d), codewords.float(), torch.zeros(k))


def test_the_module_learns_codewords_and_smoothing() -> None:
    layer = program.Encoding(6, 5)
    codes = layer(torch.randn(2, 30, 5, generator=torch.Generator().manual_seed(0)))
    assert codes.shape == (2, 6, 5)
    codes.square().sum().backward()
    for parameter in (layer.codewords, layer.smoothing):
        assert parameter.grad is not None
        assert parameter.grad.abs().min() > 0
