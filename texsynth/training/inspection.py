"""What the parts of a network in training contribute: live channels, and the picture without each part.

A part that has died is not seen in the loss: the others make up for it, and the training goes on for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from texsynth.errors import InputError
from texsynth.training import log

LIVE = 1e-3
"""A channel is live if its deviation over positions and pictures is above this share of the part's root mean
square."""

LEAST_CHANGE = 0.1
"""Mean change of the picture, in levels of 255, below which a part contributes nothing."""

Watched = tuple[str, Sequence[nn.Module], bool]
"""Name of a part, its modules, and whether their channels are counted."""


class Inspected(Protocol):
    """A network that names its parts."""

    def watched(self) -> Iterable[Watched]:
        """Return the parts to look at."""

    def train(self, mode: bool = True) -> object:
        """Turn training on or off."""


Judge = Callable[[], tuple[Tensor, Mapping[str, Tensor]]]
"""Makes the pictures of a fixed batch, and judges them: the pictures and the weighted terms of the loss."""


@dataclass(frozen=True)
class Inspection:
    """Looks at a network before every checkpoint."""

    net: Inspected
    judge: Judge
    table: Path
    """CSV file: for each part the live channels, the loss without it, and the change of the picture."""
    every: int  # Steps between checkpoints
    report: Callable[[str], None]

    @torch.no_grad()
    def __call__(self, step: int) -> None:
        """Measure after `step` steps. Raises InputError when a part is dead."""
        self.net.train(False)
        parts = list(self.net.watched())
        with _live_channels(parts) as live:
            picture, loss = self._look()
        row, texts, dead = {"step": float(step), "loss": loss}, list[str](), list[str]()
        for name, modules, _ in parts:
            with _averaged(modules):
                other, without = self._look()
            change = float((other - picture).abs().mean()) * 255
            row |= {f"without {name}": without, f"change {name}": change}
            text = f"{name} {without - loss:+.3f}"
            if name in live:
                row |= {f"live {name}": float(sum(alive for alive, _ in live[name]))}
                text += (
                    f" ({sum(alive for alive, _ in live[name])}/{sum(total for _, total in live[name])} live)"
                )
            texts.append(text)
            if change < LEAST_CHANGE or any(not alive for alive, _ in live.get(name, ())):
                dead.append(name)
        self.net.train()
        log.keep(self.table, -(-step // self.every) - 1)  # a run that was killed here comes by again
        log.append(self.table, row)
        self.report(f"after {step} steps the loss is {loss:.4f}; without {', '.join(texts)}")
        if dead:
            sentence = f"{' and '.join(dead)} no longer changes the picture after {step} steps"
            raise InputError(f"{sentence}; begin another run with a lower rate or another seed")

    def _look(self) -> tuple[Tensor, float]:
        picture, terms = self.judge()
        return picture.float(), sum(float(term) for term in terms.values())


@contextmanager
def _live_channels(parts: Sequence[Watched]) -> Iterator[dict[str, list[tuple[int, int]]]]:
    """Count, for every output of the parts inside the block, the live channels and all."""
    live: dict[str, list[tuple[int, int]]] = {}
    with ExitStack() as hooks:
        for name, modules, counted in parts:
            for module in modules if counted else ():

                def count(_: nn.Module, __: object, output: Tensor | list[Tensor], name: str = name) -> None:
                    for x in [output] if isinstance(output, Tensor) else output:
                        flat = x.float().transpose(0, 1).flatten(1)
                        alive = flat.std(1) > LIVE * flat.square().mean().sqrt()
                        live.setdefault(name, []).append((int(alive.sum()), len(alive)))

                hooks.callback(module.register_forward_hook(count).remove)
        yield live


@contextmanager
def _averaged(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Put in place of what the modules give its mean over pictures and positions, by channel."""

    def mean(x: Tensor) -> Tensor:
        over = [dim for dim in range(x.ndim) if dim != 1]
        return x.mean(over, keepdim=True).expand_as(x)

    def replace(_: nn.Module, __: object, output: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
        return mean(output) if isinstance(output, Tensor) else [mean(x) for x in output]

    with ExitStack() as hooks:
        for module in modules:
            hooks.callback(module.register_forward_hook(replace).remove)
        yield
