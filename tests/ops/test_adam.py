"""Adam for a picture: the steps of torch."""

from __future__ import annotations

import torch

from texsynth.ops.adam import Adam


def test_steps_are_those_of_torch() -> None:
    rng = torch.Generator().manual_seed(0)
    start = torch.rand(1, 3, 9, 7, generator=rng)
    ours, theirs = start.clone(), start.clone()
    adam, other = Adam(ours, (0.8, 0.95), 1e-3), torch.optim.Adam([theirs], 1, (0.8, 0.95), 1e-3)
    for rate in (0.1, 0.05, 0.02, 0.2):
        gradient = torch.randn(start.shape, generator=rng)
        adam.step(gradient, rate)
        other.param_groups[0]["lr"] = rate
        theirs.grad = gradient.clone()
        other.step()
        assert torch.equal(ours, theirs)
    assert not torch.equal(ours, start)
