"""Adam for a single tensor, as pictures that descend need it.

`torch.optim` computes the same, but loads the compiler of torch when it is first used: .8 s and 76 MiB.
"""

import torch
from torch import Tensor


class Adam:
    """Moves a picture against its gradient (Kingma and Ba 2015)."""

    def __init__(
        self, image: Tensor, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8
    ) -> None:
        """image: changed in place."""
        self.image, self._betas, self._epsilon, self._steps = image, betas, epsilon, 0
        self._mean, self._power = torch.zeros_like(image), torch.zeros_like(image)

    @torch.no_grad()
    def step(self, gradient: Tensor, rate: float) -> None:
        """Move by about `rate`. gradient: of the picture's shape."""
        self._steps += 1
        first, second = self._betas
        self._mean.lerp_(gradient, 1 - first)
        self._power.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        # Both begin at zero and would be too small at first.
        deviation = self._power.sqrt().div_((1 - second**self._steps) ** 0.5).add_(self._epsilon)
        self.image.addcdiv_(self._mean, deviation, value=-rate / (1 - first**self._steps))
