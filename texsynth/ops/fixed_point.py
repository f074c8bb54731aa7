"""Fixed points of slow iterations, found in fewer rounds."""

from collections.abc import Callable

import torch
from torch import Tensor

MEMORY = 5  # Rounds before the last that are looked back on

LOST = 1e-14
"""Share of the largest singular value of squared differences below which they say nothing new."""


def fixed_point(step: Callable[[Tensor], Tensor], x: Tensor, *, rounds: int, tolerance: float) -> Tensor:
    """Return what `step` maps to itself, from `x` on, by the acceleration of Anderson.

    As in Walker and Ni 2011, "Anderson Acceleration for Fixed-Point Iterations", eq. 2.2:
    the next try is the combination of the last results whose combined changes are least. Where changes grow,
    it starts again from the last result. Ends when `step` changes less than the share `tolerance`, or after
    so many rounds.
    """
    results: list[Tensor] = []
    changes: list[Tensor] = []
    least = torch.inf
    for _ in range(rounds):
        result = step(x)
        change = result - x
        size = float(change.norm())
        if size <= tolerance * float(x.norm()):
            return result
        if size > 2 * least:
            results, changes = [], []
        least = min(least, size)
        results, changes = [*results[-MEMORY:], result], [*changes[-MEMORY:], change]
        x = result + _correction(results, changes)
    return result


def _correction(results: list[Tensor], changes: list[Tensor]) -> Tensor:
    """Return what leads from the last result to the combination of all."""
    moves = torch.stack([(result - results[-1]).flatten() for result in results])
    turns = torch.stack([(change - changes[-1]).flatten() for change in changes])
    shares = torch.linalg.pinv(turns @ turns.T, hermitian=True, rtol=LOST) @ (turns @ changes[-1].flatten())
    correction: Tensor = -(shares @ moves)
    return correction.view_as(results[-1])
