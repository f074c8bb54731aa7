"""Several textures in one picture: regions, a layout of each, and the borders between them."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from texsynth.ops.resample import box_mean
from texsynth.pipelines.method import ExpandPlan
from texsynth.pipelines.patch_stage import LAYING, VOTING, PatchSpec, elongation, lay_out, vote_on_layout
from texsynth.pipelines.progress import OnStep, parts
from texsynth.synthesis.exemplar import Exemplar, build_atlas, label_potentials
from texsynth.synthesis.mixing import cut_regions, lead

SCALE = 0.3  # Width of the regions, as a share of the exemplars' side

REACH = 0.3  # Distance by which borders may move from where regions end, as a share of their width

GUIDE = 8.0
"""How much a region is drawn to where a guide asks for its exemplar's values, over its random shape."""

COMMON = (0.05, 0.95)  # Quantiles of an exemplar's guide between which its values are common


def mix_textures(
    plan: ExpandPlan,
    exemplars: Sequence[Exemplar],
    guide_target: Tensor | None,
    rng: torch.Generator,
    on_step: OnStep,
) -> Tensor:
    """Mix exemplars in regions, each with its weight as its share of the area.

    exemplars: those of `plan`, with guides. guide_target: (g, H, W), what these should be. Returns colours
    and sibling maps, (3 + s, *size).
    """
    size, settings, orientations = plan.size, plan.settings, plan.orientations
    wrap, guided = settings.tileable, guide_target is not None
    scale = SCALE * min(min(e.image.shape[2:]) for e in exemplars)
    bias = None if guide_target is None else _guide_bias(exemplars, guide_target, scale)
    shares = [e.weight for e in exemplars]
    potentials = label_potentials(size, shares, scale, rng, wrap=wrap, bias=bias)
    used = [number for number, weight in enumerate(shares) if weight > 0]
    *reports, voting = parts(on_step, *[LAYING] * len(used), VOTING)
    laying, layouts, places = iter(reports), [], []
    for number in used:
        # All the others without weight: positions are the same, and nothing of them is used.
        alone = [replace(e, weight=float(k == number)) for k, e in enumerate(exemplars)]
        region = lead(potentials[used], used.index(number)) > -REACH if len(used) > 1 else None
        spec = PatchSpec(
            size, wrap, guide_target=guide_target, region=region,
            elongation=elongation(exemplars[number].image), variety=settings.variety,
        )  # fmt: skip
        if region is not None and not bool(region.any()):
            region = region.fill_(True)
        atlas = build_atlas(alone, guided=guided, orientations=orientations)
        quilt = lay_out(atlas, spec, settings.patch, rng, next(laying))
        layouts.append(quilt.image)
        places.append(quilt.at)
    chosen = cut_regions(layouts, potentials[used], REACH, wrap=wrap) if len(used) > 1 else None
    at = (
        places[0]
        if chosen is None
        else torch.stack(places).gather(0, chosen[None, None].expand(1, 2, *size))[0]
    )
    atlas = build_atlas(exemplars, guided=guided, orientations=orientations)
    return vote_on_layout(atlas, at, settings.patch, rng, voting, wrap=wrap)


def _guide_bias(exemplars: Sequence[Exemplar], target: Tensor, scale: float) -> Tensor:
    """Rate how well each exemplar can show what a guide (g, H, W) asks for, (K, H, W), 0 for well."""
    rates = []
    for e in exemplars:
        assert e.guide is not None
        low, high = (e.guide[0].flatten(1).quantile(q, 1)[:, None, None] for q in COMMON)
        miss = (low - target).clamp_min(0) + (target - high).clamp_min(0)
        rates.append(-GUIDE * box_mean(miss.amax(0), max(round(scale / 4), 1)))
    return torch.stack(rates)
