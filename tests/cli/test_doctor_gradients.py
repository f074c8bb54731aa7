"""`texsynth doctor --gradients`: everything is right here, and what is wrong is found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.as_printed import encode_backward_as_printed, gram_loss_as_printed, max_pool_backward_as_printed
from helpers.cli import run_cli
from torch import Tensor
from typer.testing import Result

from texsynth.reference import encoding, layers
from texsynth.reference import ift as style
from texsynth.reference.comparison import FULL, Check, Comparison, Problem, relative_error, run
from texsynth.reference.formula_checks import LAYER_CHECKS, encoding_problem
from texsynth.reference.program_checks import CHECKS

CPU = torch.device("cpu")


def rows(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_all_is_right_on_this_machine() -> None:
    result = run_cli("doctor", "--gradients", "--device", "cpu", "--json")
    found = rows(result)
    assert result.exit_code == 0, result.stdout
    assert [(row["check"], row["dtype"]) for row in found] == [
        (check.name, name)
        for name in ("float64", "float32")
        for check in CHECKS
        if getattr(torch, name) in check.dtypes
    ]
    assert all(row["status"] == "ok" and 0 <= row["error"] <= row["bound"] < 2e-4 for row in found)
    assert all(any(f"{paper:03}" in row["source"] for row in found) for paper in range(5))


def test_the_table() -> None:
    result = run_cli("doctor", "--gradients", "--device", "cpu", "--dtype", "float32")
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["type", "what", "from", "part", "error", "bound"]
    assert len(lines) == sum(torch.float32 in check.dtypes for check in CHECKS)
    assert any(line.startswith("ok") and "paper 003, 1.3" in line for line in lines)
    assert (
        result.stderr
        == f"texsynth: {len(lines)} checks on cpu: {len(lines)} ok, 0 out of bounds, 0 skipped\n"
    )
    assert run_cli("doctor", "--gradients", "--device", "cpu", "--dtype", "float32", "-q").stderr == ""


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_short_types_are_for_parts_of_the_program(dtype: str) -> None:
    result = run_cli("doctor", "--gradients", "--device", "cpu", "--dtype", dtype, "--json")
    assert result.exit_code == 0, result.stdout
    names = {row["check"] for row in rows(result)}
    assert len(names) > 5
    assert all(name.startswith("program: ") for name in names)


def test_the_same_numbers_every_time() -> None:
    one, two = (run_cli("doctor", "--gradients", "--device", "cpu", "--json") for _ in range(2))
    assert one.stdout == two.stdout


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["auto", "bfloat16", "float16"])
def test_all_is_right_on_a_gpu(dtype: str) -> None:
    result = run_cli("doctor", "--gradients", "--device", "cuda", "--dtype", dtype)
    assert result.exit_code == 0, result.stdout


# Checks that must fail


def _printed_encoding(problem: Problem) -> Iterator[Comparison]:
    arrays = encoding_problem(problem)
    for name, wrong, right in zip(
        ("dX", "dC", "ds"),
        encode_backward_as_printed(*arrays),
        encoding.encode_backward(*arrays),
        strict=True,
    ):
        yield Comparison(name, wrong, right)


def _normalisation_without_its_factor(problem: Problem) -> Iterator[Comparison]:
    x, grad = problem.normal(3, 6), problem.normal(3, 6)
    groups = layers.window_groups(6, 3, x)
    right = layers.normalize_backward(grad, x, groups, kappa=1.5, alpha=0.4, beta=0.75)
    first_term = layers.normalize_backward(grad, x, torch.zeros_like(groups), kappa=1.5, alpha=0.4, beta=0.75)
    energy = 1.5 + 0.4 * x.square() @ groups.T
    assert float((first_term - grad * 1.5**-0.75).abs().max()) < 1e-5
    yield Comparison("dX", (right + grad * energy**-0.75) / 2, right)


def _ties_counted_twice(problem: Problem) -> Iterator[Comparison]:
    x, grad = problem.put(torch.ones(4, 4, 1)), problem.normal(2, 2, 1)
    right = layers.max_pool_backward(grad, x, (2, 2), stride=2)
    yield Comparison("dX", max_pool_backward_as_printed(grad, x, (2, 2), stride=2), right)


def _printed_style(problem: Problem) -> Iterator[Comparison]:
    output, target = problem.normal(12, 3), problem.normal(12, 3)
    yield Comparison("loss", gram_loss_as_printed(output, target), style.gram_loss(output, target))


def _no_number(problem: Problem) -> Iterator[Comparison]:
    x = problem.normal(3)
    yield Comparison("Y", x / 0 - x / 0, x)


def _other_shape(problem: Problem) -> Iterator[Comparison]:
    x = problem.normal(3)
    yield Comparison("Y", x[:1], x)


WRONG = [
    _printed_encoding, _normalisation_without_its_factor, _ties_counted_twice, _printed_style, _no_number,
    _other_shape,
]  # fmt: skip


@pytest.mark.parametrize("parts", WRONG)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_wrong_formula_is_found(
    monkeypatch: pytest.MonkeyPatch, parts: Callable[[Problem], Iterable[Comparison]], dtype: str
) -> None:
    wrong = Check("wrong", "nowhere", parts)
    monkeypatch.setattr("texsynth.reference.program_checks.CHECKS", (CHECKS[0], wrong))
    result = run_cli("doctor", "--gradients", "--device", "cpu", "--dtype", dtype, "--json")
    assert result.exit_code == 1
    good, bad = rows(result)
    assert (good["status"], bad["status"]) == ("ok", "out of bounds")
    assert bad["error"] is None or bad["error"] > 100 * bad["bound"]
    table = run_cli("doctor", "--gradients", "--device", "cpu", "--dtype", dtype)
    assert table.stdout.splitlines()[-1].startswith("OUT OF BOUNDS")


def spoilt(check: Check, index: int, factor: float) -> Check:
    """The same with one part's right answer multiplied."""

    def parts(problem: Problem) -> Iterator[Comparison]:
        for i, part in enumerate(check.parts(problem)):
            yield replace(part, expected=part.expected * factor) if i == index else part

    return replace(check, parts=parts)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_part_of_every_check_can_fail(check: Check) -> None:
    for dtype in check.dtypes:
        count = len(list(check.parts(Problem(CPU, dtype, torch.Generator().manual_seed(0)))))
        assert run(spoilt(check, 0, 1), CPU, dtype).is_ok
        for index in range(count):
            assert not run(spoilt(check, index, 1.001 if dtype in FULL else 1.2), CPU, dtype).is_ok


WRONG_PARTS: list[tuple[str, object, str]] = [
    ("transforms.wct.psd_powers", lambda m, *_: (m,), "WCT"),
    ("transforms.optimal_transport.barycentre", lambda styles, _: styles[0], "barycentre"),
    ("transforms.ift.style_weight", lambda *_: 0.1, "IFT by default"),
    ("transforms.AffineMap.lerp", lambda self, _: self, "strength and mixing"),
    ("transforms.AffineMap.fold", lambda _, weight, bias: (weight, bias), "folding into a decoder"),
    ("transforms.moments.normalised", lambda m, w: [*zip(m, w, strict=True)], "IFT by default to several"),
    ("models.encoding._weighted", lambda share, *_: share, "encoding by tiles"),
    ("metrics.losses._wasserstein_1d", lambda a, b: (a.mean(-1) - b.mean(-1)).square().mean(),
     "tagged Wasserstein"),
    ("analysis.orientation.parabola_vertex", lambda *_: 0.0, "orientations"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "wrong", "check"), WRONG_PARTS)
def test_an_error_in_the_program_is_found(
    monkeypatch: pytest.MonkeyPatch, place: str, wrong: object, check: str
) -> None:
    monkeypatch.setattr(f"texsynth.{place}", wrong)
    result = run_cli("doctor", "--gradients", "--device", "cpu", "--dtype", "float64", "--json")
    assert result.exit_code == 1
    assert f"program: {check}" in {row["check"] for row in rows(result) if row["status"] == "out of bounds"}


# What cannot be run


def test_what_a_device_cannot_do_is_skipped_with_the_reason() -> None:
    """The meta device has shapes and no numbers, so nothing can be compared there."""
    for check in LAYER_CHECKS:
        outcome = run(check, torch.device("meta"), torch.float32)
        assert "meta cannot" in outcome.skipped
        assert not outcome.is_ok


def test_a_type_that_a_device_lacks_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(device: torch.device, dtype: torch.dtype) -> str:
        return "cpu has no float64" if dtype == torch.float64 else ""

    monkeypatch.setattr("texsynth.reference.comparison.lacks", lacks)
    found = rows(result := run_cli("doctor", "--gradients", "--device", "cpu", "--json"))
    assert result.exit_code == 0
    assert {(row["dtype"], row["status"]) for row in found} == {("float64", "skipped"), ("float32", "ok")}
    assert all(row["reason"] == "cpu has no float64" for row in found if row["status"] == "skipped")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--gradients", "--dtype", "int8"), "unknown dtype 'int8'; use one of auto, float64"),
        (("--gradients", "--device", "abacus"), "unknown device 'abacus'; use auto"),
        (("--device", "cpu"), "--device cpu needs --gradients"),
        (("--dtype", "float64"), "--dtype float64 needs --gradients"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], words: str) -> None:
    result = run_cli("doctor", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"texsynth: {words}")
    assert result.stderr.count("\n") == 1


# The measure


def test_relative_errors() -> None:
    def error(got: Tensor, expected: Tensor) -> float:
        return relative_error(got, expected)

    assert error(torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0])) == 0.25
    assert error(torch.zeros(2), torch.zeros(2)) == 0
    assert error(torch.ones(2), torch.zeros(2)) == torch.inf
    assert error(torch.tensor([torch.nan]), torch.ones(1)) == torch.inf
    assert error(torch.ones(1), torch.ones(2)) == torch.inf


def test_the_precision_of_products_is_put_back() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    assert run(CHECKS[1], CPU, torch.float32).is_ok
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before
