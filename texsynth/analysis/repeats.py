"""A lattice in the words of who looks at it: how far across, how far down, and how rows are shifted.

The shortest vectors of a wall of bricks lead from the middle of one to that of a brick in the next row, which
nobody calls the length of a brick.
"""

import math
from dataclasses import dataclass
from itertools import product

Vector = tuple[float, float]
"""(dy, dx) in pixels."""

STEEPEST = math.tan(math.radians(6))  # Rows that lean more are not level
MOST_STEPS = 3  # Of each of the shortest vectors of a lattice, to a vector along a row
ALIKE = 0.08  # Shares of a period that the eye takes for the same


@dataclass(frozen=True)
class Repeats:
    """A lattice with level rows."""

    across: float  # Pixels after which a row repeats
    down: float  # Pixels from row to row
    shift: float  # Of the next row below to the right, as a share of `across`, from 0 to below 1

    def __str__(self) -> str:
        """Say it in a sentence."""
        if min(self.shift, 1 - self.shift) < ALIKE:
            return f"every {self.across:.0f} px across and every {self.down:.0f} px down"
        rows = f"every {self.across:.0f} px across, in rows of {self.down:.0f} px"
        if abs(self.shift - 0.5) < ALIKE:
            return f"{rows}, of which every second one is shifted by half"
        return f"{rows}, each shifted by {self.shift * self.across:.0f} px to the right"


def repeats(first: Vector, second: Vector) -> Repeats | None:
    """Describe the lattice of two independent vectors by its rows; None where none of them is level."""
    first, second = shortest(first, second)
    area = abs(first[0] * second[1] - first[1] * second[0])
    level = None
    for i, j in product(range(-MOST_STEPS, MOST_STEPS + 1), repeat=2):
        dy, dx = i * first[0] + j * second[0], i * first[1] + j * second[1]
        if math.gcd(i, j) == 1 and dx > 0 and abs(dy) <= STEEPEST * dx and (level is None or dx < level[2]):
            level = i, j, dx
    if level is None:
        return None
    i, j, across = level
    # The step to the next row: integers with i * n - j * m = 1 make a basis of the two.
    m, n = next(
        (m, n) for m, n in product(range(-MOST_STEPS, MOST_STEPS + 1), repeat=2) if i * n - j * m == 1
    )
    dy, dx = m * first[0] + n * second[0], m * first[1] + n * second[1]
    dx = dx if dy > 0 else -dx
    return Repeats(across, area / across, dx / across % 1)


def shortest(first: Vector, second: Vector) -> tuple[Vector, Vector]:
    """Find the two shortest independent vectors of a lattice, by Gauss's reduction."""
    while True:
        if math.hypot(*first) > math.hypot(*second):
            first, second = second, first
        steps = round((first[0] * second[0] + first[1] * second[1]) / (first[0] ** 2 + first[1] ** 2))
        if not steps:
            return first, second
        second = second[0] - steps * first[0], second[1] - steps * first[1]


def in_words(
    first: Vector, second: Vector, distinct: tuple[bool, bool] = (True, True), *, level: bool = True
) -> str:
    """Say how a texture repeats.

    distinct: False for a vector along stripes, whose length means nothing. level: look for level rows.
    """
    area = abs(first[0] * second[1] - first[1] * second[0])
    if not all(distinct):
        along = first if distinct[1] else second
        return f"stripes, one every {area / math.hypot(*along):.0f} px" if any(distinct) else "everywhere"
    if level and (rows := repeats(first, second)):
        return str(rows)
    first, second = shortest(first, second)
    parts = [
        f"{math.hypot(*v):.0f} px at {math.degrees(math.atan2(-v[0], v[1])) % 180:.0f}°"
        for v in (first, second)
    ]
    return f"every {parts[0]} and every {parts[1]}"
