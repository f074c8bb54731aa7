"""Deal the cells of a lattice anew: a brick is cut out along its mortar and gives way to another one."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.cells import Cells, outline
from texsynth.ops.resample import box_mean
from texsynth.synthesis.exemplar import Atlas
from texsynth.synthesis.seams import min_error_cut, seam_cost

RADII = (0.7, 1.3)  # Where a cut may run, over the outline

SHIFT = 0.06  # Share of a cell's size by which it may be moved to fit its place

MOST_SHIFT = 3  # Pixels by which it may at most

RAW = 0.25  # Weight of errors pixel by pixel beside those of a blurred picture

OUTSIDE = 1e3  # Error of a cut where the exemplar has ended

CORE = 0.8  # Part of a cell, over the outline, by which it is recognised

ASTRAY = 0.2  # Share of half a cell by which one may be beside its place

TRIES = 4  # Cells tried at a place

ROUNDS = 2  # Times every place is looked at

SAMPLES = 5  # Places at which the usual cost of seams is tried

PENALTY = 8.0
"""Penalty at full strength of a usual cell whose copies are twice as near as usual. The unit is the median
cost of the seams around a cell that is laid."""

MIXED = 2.0  # Penalty of a place that shows parts of several cells, in the same units

LEAST_GAIN = 1.5  # Excess over the least penalty from which on a place is worth a try, in the same units

REACH = 0.3  # Deviation of the Gaussian that says how near copies are, over their usual distance

RARE = 0.25  # Share of the reward of showing what is shown less than usual: what is rare may stay rare


class CellDealer:
    """Deals the cells of a layout anew, so that copies of one are few and far apart."""

    def __init__(self, atlas: Atlas, at: Tensor, cells: Cells, *, wrap: bool) -> None:
        """Take a layout of source positions (2, H, W)."""
        self.atlas, self.at, self.cells, self.wrap = atlas, at.clone(), cells, wrap
        self.image = atlas.image[:, at[0], at[1]]
        self.width = atlas.parts[0].size[1]
        self.smooth = box_mean(atlas.image[None], 1)[0]
        ring = outline(cells.normals)
        reach = ring.abs().amax(0)
        self.half = [int(float(r) * RADII[1]) + 2 for r in reach]
        span = [torch.arange(-n, n + 1) for n in self.half]
        grid = torch.stack(torch.meshgrid(*span, indexing="ij"), -1)
        self.radius = cells.gauge(grid)
        steps = max(round((RADII[1] - RADII[0]) * float(reach.max())), 4)
        self.radii = torch.linspace(*RADII, steps, dtype=torch.float64)
        self.rays = (ring[:, None] * self.radii[None, :, None]).round().long()  # (T, R, 2)
        way = F.normalize(grid.flatten(0, 1).double(), dim=1) @ F.normalize(ring, dim=1).T
        self.ray = way.argmax(1).view(self.radius.shape)
        self.core = self.radius < CORE
        self.centres = self._places()

    def _places(self) -> Tensor:
        """List the middles of the cells of the layout, (N, 2): where it is in phase with the exemplar."""
        inverse = torch.linalg.inv(self.cells.vectors)
        size = torch.tensor(self.at.shape[1:])
        rows, columns = torch.arange(int(size[0])), torch.arange(int(size[1]))
        here = torch.stack(torch.broadcast_tensors(rows[:, None], columns[None]))
        shown = self.at[1] < self.width
        if not bool(shown.any()):  # All of it is turned, and has no phase with the exemplar.
            return torch.zeros(0, 2, dtype=torch.long)
        offset = (self.at - here)[:, shown].T.double() @ inverse * (2 * torch.pi)
        turn = torch.atan2(offset.sin().mean(0), offset.cos().mean(0)) / (2 * torch.pi)
        phase = self.cells.phase - turn @ self.cells.vectors
        corners = torch.cartesian_prod(*(torch.tensor([0.0, float(n)], dtype=torch.float64) for n in size))
        index = ((corners - phase) @ inverse).round().long()
        spans = [torch.arange(int(i.min()) - 1, int(i.max()) + 2) for i in index.T]
        places = (phase + torch.cartesian_prod(*spans).double() @ self.cells.vectors).round().long()
        margin = torch.zeros(2, dtype=torch.long) if self.wrap else torch.tensor(self.half) // 2
        inside = ((places >= -margin) & (places < size + margin)).all(1)
        seen = [bool((self.core & self._window(place)[2]).any()) for place in places[inside]]
        return places[inside][torch.tensor(seen, dtype=torch.bool)]

    def deal(self, strength: float, rng: torch.Generator) -> None:
        """Try other cells at all places, in an order drawn by `rng`. strength: from 0 to 1."""
        if not len(self.centres):
            return
        if self.wrap and any(2 * half >= n for half, n in zip(self.half, self.at.shape[1:], strict=True)):
            return  # a cell would meet itself
        cells, count = self.cells, len(self.cells.centres)
        shown, mixed = self._shown()
        expected = max(self.at[0].numel() / float(self.atlas.part(self.atlas.valid, 0).sum()), 1.0)
        reach = REACH * (self.at[0].numel() / expected) ** 0.5
        costs = [self._around(place) for place in self.centres]
        unit = self._unit(rng)
        for n in [*torch.randperm(len(costs), generator=rng).tolist()] * ROUNDS:
            place = self.centres[n]
            near = cells.likeness @ self._nearness(n, shown, reach) / cells.likeness.sum(1)
            others = torch.bincount(shown[(shown >= 0) & (torch.arange(len(shown)) != n)], minlength=count)
            burden = near / near.mean().clamp_min(1e-6) - 1
            # What is rare may stay rare; only copies are pushed away hard.
            burden = burden.where(burden > 0, RARE * burden) + ((others + 1) / expected - 1).clamp_min(0)
            penalty = strength * PENALTY * cells.salience * burden
            now = float(penalty[shown[n]]) if shown[n] >= 0 else 0.0
            now += MIXED * float(mixed[n]) + costs[n] / unit
            if now < float(penalty.min()) + LEAST_GAIN:
                continue
            tries = penalty.topk(min(TRIES, count), largest=False).indices
            tries = tries[penalty[tries] < now]
            if not len(tries):
                continue
            laid = self._fit(place, tries)
            best, least = -1, now
            for k, (sources, inside) in enumerate(laid):
                before = self._write(place, sources, inside)
                cost = self._around(place) / unit + float(penalty[tries[k]])
                if cost < least:
                    best, least = k, cost
                self._restore(before)
            if best >= 0:
                self._write(place, *laid[best])
                shown[n], mixed[n] = int(tries[best]), 0.0
                costs[n] = self._around(place)

    def _unit(self, rng: torch.Generator) -> float:
        """Return the usual cost of the seams around a cell that is laid at some place."""
        costs = []
        for n in torch.randperm(len(self.centres), generator=rng)[:SAMPLES].tolist():
            place, some = self.centres[n], torch.randperm(len(self.cells.centres), generator=rng)[:TRIES]
            least = math.inf
            for laid in self._fit(place, some):
                before = self._write(place, *laid)
                least = min(least, self._around(place))
                self._restore(before)
            costs.append(least)
        return max(sorted(costs)[len(costs) // 2], 1e-6)

    def _shown(self) -> tuple[Tensor, Tensor]:
        """Tell which cell each place shows, (N,), -1 if it is not whole, and the share of others, (N,)."""
        known = {tuple(i.tolist()): k for k, i in enumerate(self.cells.number(self.cells.centres))}
        shown, mixed = [], []
        limit = torch.tensor(self.half) * ASTRAY
        for n, place in enumerate(self.centres):
            rows, columns, ok = self._window(place)
            inside = self.core & ok
            at = self.at[:, rows, columns][:, inside]
            origin = self.atlas.origin[at[0], at[1]]
            untouched = torch.stack([origin // self.width, origin % self.width], 1)
            numbers, which, counts = self.cells.number(untouched).unique(
                dim=0, return_inverse=True, return_counts=True
            )
            top = int(counts.argmax())
            shown.append(known.get(tuple(numbers[top].tolist()), -1))
            mixed.append(1 - float(counts[top]) / float(counts.sum()))
            use = (which == top) & (at[1] < self.width)
            if bool(use.any()):  # Courses of the exemplar are never quite straight
                here = place + (inside.nonzero() - torch.tensor(self.half))[use]
                middle = self.cells.phase + numbers[top].double() @ self.cells.vectors
                moved = (here - untouched[use]).double().median(0).values + middle - place
                if bool((moved.abs() > limit).any()):
                    mixed[-1] = 0.0
                else:
                    self.centres[n] = place + moved.round().long()
        return torch.tensor(shown), torch.tensor(mixed)

    def _nearness(self, n: int, shown: Tensor, reach: float) -> Tensor:
        """Sum by cell how near its copies are to place `n`, (count,)."""
        away = (self.centres - self.centres[n]).abs()
        if self.wrap:
            away = away.minimum(torch.tensor(self.at.shape[1:]) - away)
        near = torch.exp(-away.double().square().sum(1) / (2 * reach**2))
        use = shown >= 0
        use[n] = False
        total = torch.zeros(len(self.cells.centres), dtype=torch.float64)
        return total.index_add_(0, shown[use], near[use])

    def _window(self, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return rows, columns and which of them are in the layout, for the rectangle around a place."""
        sides, inside = [], []
        for start, half, length in zip(place.tolist(), self.half, self.at.shape[1:], strict=True):
            index = start + torch.arange(-half, half + 1)
            inside.append((index >= 0) & (index < length) | self.wrap)
            sides.append(index % length if self.wrap else index.clamp(0, length - 1))
        return sides[0][:, None], sides[1][None], inside[0][:, None] & inside[1][None]

    def _around(self, place: Tensor) -> float:
        """Sum the seam cost of a place and what is around it."""
        rows, columns, ok = self._window(place)
        image, at = self.image[:, rows, columns], self.at[:, rows, columns]
        return float(seam_cost(self.atlas, image, at, ok).sum())

    def _fit(self, place: Tensor, tries: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Move cells to where they fit best and cut them out. Returns positions and what is inside."""
        size = torch.tensor(self.at.shape[1:])
        spots = place + self.rays
        outside = ((spots < 0) | (spots >= size)).any(-1)
        spots = spots % size if self.wrap else spots.clamp_min(0).minimum(size - 1)
        seen = self.at[:, spots[..., 0], spots[..., 1]]
        old = [planes[:, seen[0], seen[1]] for planes in (self.smooth, self.atlas.image)]
        free = torch.zeros_like(outside) if self.wrap else outside
        most = [min(max(round(SHIFT * 2 * h), 1), MOST_SHIFT) for h in self.half]
        shifts = torch.cartesian_prod(*(torch.arange(-m, m + 1) for m in most))
        centres = self.cells.centres[tries][:, None] + shifts  # (K, S, 2)
        middle = len(self.radii) // 2
        on_ring = [planes[:, ::3, middle] for planes in old]
        fits = self._errors(centres, self.rays[::3, middle], on_ring, free[::3, middle])
        chosen = centres[torch.arange(len(tries)), fits.mean(2).argmin(1)]
        errors = self._errors(chosen, self.rays, old, free)
        # Twice around, of which the middle is a closed cut: it ends where it begins.
        around = torch.cat([errors, errors], 1).contiguous()
        count = len(self.rays)
        cut = torch.from_numpy(min_error_cut(around.numpy())).sum(2)
        cut = cut[:, count // 2 : count // 2 + count].roll(count // 2, 1)
        laid = []
        span = torch.stack(torch.meshgrid(*(torch.arange(-h, h + 1) for h in self.half), indexing="ij"))
        for k, centre in enumerate(chosen):
            sources = centre[:, None, None] + span
            clamped = sources.clamp_min(0).minimum(torch.tensor(self.atlas.parts[0].size).view(2, 1, 1) - 1)
            inside = self.radius <= self.radii[cut[k]][self.ray]
            laid.append((clamped, inside & (clamped == sources).all(0)))
        return laid

    def _errors(self, centres: Tensor, offsets: Tensor, old: list[Tensor], free: Tensor) -> Tensor:
        """Compare cells at `centres` (..., 2) with the layout at offsets (..., 2) from the middle."""
        shape = centres.shape[:-1]
        spots = centres.view(*shape, *[1] * (offsets.dim() - 1), 2) + offsets
        limit = torch.tensor(self.atlas.parts[0].size) - 1
        at = spots.clamp_min(0).minimum(limit)
        ended = (at != spots).any(-1) | ~self.atlas.valid[at[..., 0], at[..., 1]]
        total = torch.zeros(spots.shape[:-1])
        for planes, seen, weight in zip((self.smooth, self.atlas.image), old, (1.0, RAW), strict=True):
            seen = seen.view(3, *[1] * len(shape), *seen.shape[1:])
            total += weight * (planes[:, at[..., 0], at[..., 1]] - seen).square().sum(0)
        return torch.where(free, 0, total + OUTSIDE * ended)

    def _write(self, place: Tensor, sources: Tensor, inside: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Lay a cell. Returns what was there."""
        rows, columns, ok = self._window(place)
        rows, columns = rows.expand_as(ok), columns.expand_as(ok)
        use = inside & ok
        r, c = rows[use], columns[use]
        before = r, c, self.at[:, r, c], self.image[:, r, c]
        at = sources[:, use]
        self.at[:, r, c], self.image[:, r, c] = at, self.atlas.image[:, at[0], at[1]]
        return before

    def _restore(self, before: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
        """Take a cell away again."""
        rows, columns, at, image = before
        self.at[:, rows, columns], self.image[:, rows, columns] = at, image
