"""Texture expansion: a layout and what refines it, in the order that the method names."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from texsynth.analysis.lattice import relative_change, snap_to_torus
from texsynth.models.registry import Model
from texsynth.ops.resample import box_mean, resize
from texsynth.pipelines.candidates import best_of, cut_rate
from texsynth.pipelines.feature_optimization import optimize, synthesize
from texsynth.pipelines.method import ExpandPlan
from texsynth.pipelines.mixture import mix_textures
from texsynth.pipelines.noise_stage import make_noise
from texsynth.pipelines.patch_stage import PatchSpec, elongation, patch_stage
from texsynth.pipelines.progress import OnStep, Step, parts, silent
from texsynth.synthesis.copy_choice import lay_copies
from texsynth.synthesis.exemplar import Exemplar, build_atlas, guide_planes
from texsynth.synthesis.warp import warp_to_lattice

if TYPE_CHECKING:
    from texsynth.models.transposers import AnyTransposer

CONSTANT = 1 / 255  # Exemplars whose colours differ by less are one colour, and so is the output

STAGE_TIMES = {"transposer": 1.0, "patch": 7.0, "optimize": 7.0}  # In any unit

SMALL_CHANGE = 0.01
"""A lattice whose lengths are off by a smaller share closes by itself: seams take up the difference."""


@dataclass(frozen=True)
class Networks:
    """Networks that the stages need; the Transposer only where the method names it."""

    model: Model
    transposer: "AnyTransposer | None" = None
    transposer_sha256: str | None = None


@dataclass(frozen=True)
class Expanded:
    """A texture, its sibling maps, and what the user should know."""

    image: Tensor  # (1, 3, H, W) in [0, 1]
    siblings: tuple[Tensor, ...] = ()  # Each (1, c, H, W)
    notes: tuple[str, ...] = ()  # Remarks for the user


def load_networks(model: Model, transposer: str | None) -> Networks:
    """Load the network of a Transposer, if one is named, to the device of `model`. Raises ModelError."""
    if transposer is None:
        return Networks(model)
    from texsynth.models.transposers import load_network  # which patches never need

    return Networks(model, *load_network(transposer, model.device, model.dtype))


@torch.no_grad()
def expand(
    plan: ExpandPlan,
    networks: Networks,
    *,
    guide: Tensor | None = None,
    rng: torch.Generator,
    on_step: OnStep = silent,
) -> Expanded:
    """Make more of a texture, or of several mixed, as `plan_expand` has planned.

    guide: (1, g, H', W') in [0, 1], resized to the output: where it is bright, what the exemplars' guides say
    is bright. rng: on the CPU. Raises InputError for masks that leave too little to take from.
    """
    settings, size = plan.settings, plan.size
    constant = _expand_constant(plan.exemplars, size)
    if constant is not None:
        return constant
    if settings.method == "noise":
        image, siblings = make_noise(plan.exemplars[0], size, settings, rng, on_step)
        return Expanded(image, split_siblings(siblings, plan.exemplars[0]), plan.notes)
    rate = cut_rate(plan.exemplars, size, networks.model) if settings.candidates > 1 else None
    return best_of(
        settings.candidates,
        lambda step: _run_stages(plan, networks, guide, rng, step),
        None if rate is None else lambda made: rate(made.image),
        on_step,
    )


def _run_stages(
    plan: ExpandPlan, networks: Networks, guide: Tensor | None, rng: torch.Generator, on_step: OnStep
) -> Expanded:
    """Make one picture."""
    settings = plan.settings
    stages = settings.method.split("+")
    report = dict(zip(stages, parts(on_step, *(STAGE_TIMES[stage] for stage in stages)), strict=True))
    image, siblings = None, None
    notes: tuple[str, ...] = ()
    if "transposer" in stages:
        image, siblings = _transpose(plan, networks, rng, report["transposer"])
    if "patch" in stages:
        plan = _close_lattice(plan)
        guided, guide_target = _add_guides(plan, guide, image)
        if len(guided) > 1:
            planes = mix_textures(plan, guided, guide_target, rng, report["patch"])
        else:
            atlas = build_atlas(guided, guided=guide_target is not None, orientations=plan.orientations)
            spec = PatchSpec(
                plan.size, settings.tileable, plan.lattice, guide_target,
                elongation=elongation(guided[0].image), variety=settings.variety,
            )  # fmt: skip
            planes = patch_stage(atlas, spec, settings.patch, rng, report["patch"])
        image, siblings = planes[None, :3], planes[None, 3:]
    exemplars, model, wrap = plan.exemplars, networks.model, settings.tileable
    if image is None:
        image, notes = synthesize(
            plan.size, exemplars, model, settings.optimize, rng, wrap=wrap, on_step=report["optimize"]
        )
    elif "optimize" in stages:
        image, notes = optimize(
            image, exemplars, model, settings.optimize, rng, wrap=wrap, on_step=report["optimize"]
        )
    return Expanded(image.clamp(0, 1), split_siblings(siblings, exemplars[0]), plan.notes + notes)


def _expand_constant(exemplars: Sequence[Exemplar], size: tuple[int, int]) -> Expanded | None:
    """Make more of the same colour, when there is only one; else None."""
    if len(exemplars) > 1 or exemplars[0].siblings:
        return None
    image, mask = exemplars[0].image, exemplars[0].mask
    colours = image.flatten(2)[0] if mask is None else image[0][:, mask[0, 0] > 0.5]
    if not colours.shape[1] or float((colours.amax(1) - colours.amin(1)).amax()) >= CONSTANT:
        return None
    return Expanded(colours.median(1).values.view(1, 3, 1, 1).expand(1, 3, *size).clone())


def _transpose(
    plan: ExpandPlan, networks: Networks, rng: torch.Generator, on_step: OnStep
) -> tuple[Tensor, Tensor]:
    """Lay out one exemplar, by copies or by a network. Returns image and sibling maps, (1, ., *size)."""

    def report(share: float) -> None:
        on_step(Step("transposer", round(100 * share), 100))

    image, settings = plan.exemplars[0].image, plan.settings
    siblings = torch.cat([image[:, :0], *plan.exemplars[0].siblings], 1)
    if networks.transposer is None:
        wrap, variation = settings.tileable, settings.variation
        layout = lay_copies(image, plan.size, rng, wrap=wrap, variation=variation, on_share=report)
        planes = torch.cat([image, siblings], 1)[:, :, layout[0], layout[1]]
        return planes[:, :3], planes[:, 3:]
    device = networks.model.device
    out, laid = networks.transposer.expand(
        image.to(device), plan.size, circular=settings.tileable, rng=rng, variation=settings.variation,
        extras=siblings.to(device), on_share=report,
    )  # fmt: skip
    return out.float().cpu(), siblings.new_zeros(1, 0, *plan.size) if laid is None else laid.float().cpu()


def _close_lattice(plan: ExpandPlan) -> ExpandPlan:
    """Warp lattice and exemplar where a torus needs whole periods."""
    if plan.lattice is None or not plan.settings.tileable:
        return plan
    closed = snap_to_torus(plan.lattice, plan.size)
    if closed is None or relative_change(plan.lattice, closed) < SMALL_CHANGE:
        return replace(plan, lattice=closed)
    warped = warp_to_lattice(plan.exemplars[0], plan.lattice, closed)
    return replace(plan, lattice=closed, exemplars=(warped,))


def _add_guides(
    plan: ExpandPlan, guide: Tensor | None, image: Tensor | None
) -> tuple[list[Exemplar], Tensor | None]:
    """Give exemplars the planes that guide a layout. Returns them and the target of the planes, (g, H, W)."""
    exemplars, size = plan.exemplars, plan.size
    planes: list[list[Tensor]] = [[] for _ in exemplars]
    targets = []
    if guide is not None:
        planes = [[guide_planes(e)[None]] for e in exemplars]
        targets.append(resize(guide, *size)[0])
    if image is not None:
        # Another stage's picture shows where large shapes go; its own pixels are then not needed.
        radius = max(1, min(exemplars[0].image.shape[2:]) // 32)
        planes = [[*p, box_mean(e.image, radius)] for p, e in zip(planes, exemplars, strict=True)]
        targets.append(box_mean(image, radius)[0])
    if not targets:
        return list(exemplars), None
    both = zip(planes, exemplars, strict=True)
    return [replace(e, guide=torch.cat(p, 1)) for p, e in both], torch.cat(targets)


def split_siblings(siblings: Tensor | None, exemplar: Exemplar) -> tuple[Tensor, ...]:
    """Split the channels of all sibling maps, (1, s, H, W), as those of the exemplar."""
    if siblings is None or not siblings.shape[1]:
        return ()
    return tuple(torch.split(siblings, [s.shape[1] for s in exemplar.siblings], 1))
