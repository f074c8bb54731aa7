"""Style transfer as its inventors did it: the picture itself is optimized. A baseline to compare with.

Gatys et al. 2015, "A Neural Algorithm of Artistic Style", equations 1-7, by L-BFGS as there. Several styles
each pull with their weight, as in the comparison of Chiu and Gurari 2020.
"""

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from texsynth.config.settings import DescentSettings
from texsynth.errors import GRADIENT_BYTES, check_room
from texsynth.models.registry import Model
from texsynth.ops.resample import pad_to_multiple
from texsynth.pipelines.progress import OnStep, Step
from texsynth.transforms.moments import Moments

BLOCK = 20
"""Iterations until L-BFGS forgets its history, which a kink of the network may have spoiled."""

RANGE = 100.0  # Weight of values outside [0, 1], through which features could be matched unseen


def descend_image(
    content: Tensor,
    styles: Sequence[tuple[Mapping[int, Moments], float]],
    model: Model,
    settings: DescentSettings,
    on_step: OnStep,
    on_note: Callable[[str], object] = lambda _: None,
) -> Tensor:
    """Optimize a picture until its features are near the content's and its Gram matrices near the styles'.

    content: (1, 3, H, W) in [0, 1]. styles: moments by level and a weight above 0 for each. The loss of a
    level is relative to the norm of the style's Gram matrix, that of the content, taken at the coarsest
    level, to its features' power, so weights mean the same at any size. A step that turns non-finite ends the
    descent at the best picture so far, which `on_note` is told. Returns the shape of `content`.
    """
    if not styles:
        return content
    check_room(GRADIENT_BYTES)
    height, width = content.shape[2:]
    deepest = max(level for moments, _ in styles for level in moments)
    # The picture moves in small steps, for which half precision is too coarse.
    encoder = model.encoder if model.dtype == torch.float32 else copy.deepcopy(model.encoder).float()
    start = pad_to_multiple(content, 2 ** (deepest - 1), at_least=2**deepest).to(model.device).clone()
    with torch.no_grad():
        goal = encoder(start, deepest)[-1]
    scale = float(goal.square().mean()) + 1e-12
    targets = [
        (level, own.second.to(start), weight) for moments, weight in styles for level, own in moments.items()
    ]
    image = start.clone(memory_format=torch.contiguous_format).requires_grad_()

    def loss() -> Tensor:
        features = encoder(image, deepest)
        total: Tensor = settings.content * (features[-1] - goal).square().mean() / scale
        total = total + RANGE * (image - image.clamp(0, 1)).square().mean()
        for level, target, weight in targets:
            flat = features[level - 1][0].flatten(1)
            gap = flat @ flat.T / flat.shape[1] - target
            total = total + weight * gap.square().sum() / target.square().sum().clamp_min(1e-12)
        # Of a sum over the picture: the optimizer's tolerances are absolute.
        scaled: Tensor = total * image.numel()
        return scaled

    best = start
    for done in range(0, settings.iterations, BLOCK):
        last = min(done + BLOCK, settings.iterations)
        if not _descend(image, loss, last - done):
            on_note(
                f"the descent is not finite after {last} iterations, and the picture after {done} is kept; "
                "use a lower weight of the content"
            )
            break
        best = image.detach().clone()
        on_step(Step("descent", last, settings.iterations))
    return best[:, :, :height, :width].clamp(0, 1)


def _descend(image: Tensor, loss: Callable[[], Tensor], iterations: int) -> bool:
    """Run some iterations of L-BFGS on `image`, in place. Tells whether it is finite."""
    optimizer = torch.optim.LBFGS(
        [image], max_iter=iterations, max_eval=3 * iterations, history_size=BLOCK,
        tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    try:
        optimizer.step(closure)
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        # L-BFGS has asked for a step that float32 cannot hold.
        return False
    return bool(image.isfinite().all())
