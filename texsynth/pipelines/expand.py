"""Texture expansion: a layout and what refines it, in the order that the method names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from texsynth.analysis.lattice import Lattice, bend, find_lattice, snapped
from texsynth.config.settings import ExpandSettings
from texsynth.errors import UsageError
from texsynth.models.registry import Model, load_model
from texsynth.models.transposer import Transposer, load_transposer
from texsynth.ops.resample import box_mean, resize
from texsynth.pipelines.feature_optimization import optimize, synthesize
from texsynth.pipelines.method import Ready, ready
from texsynth.pipelines.patch_stage import Wanted, patch_stage
from texsynth.pipelines.progress import OnStep, Step
from texsynth.synthesis.exemplar import Exemplar, build_atlas, guide_of
from texsynth.synthesis.regions import label_field
from texsynth.synthesis.warp import bent

CONSTANT = 1 / 255
"""Exemplars whose colours differ by less are one colour, and so is the output."""

SMALL_BEND = 0.01
"""A lattice that is off by less closes by itself: seams take up the difference."""

MIX_SCALE = 0.3
"""Width of the regions of a mixed output, as a share of the exemplars' side."""

TILE_BAND = 0.14
"""Share of the shorter side that `tile` lays anew along each border."""


@dataclass(frozen=True)
class Networks:
    """What the stages need; the Transposer only where the method names it."""

    model: Model
    transposer: Transposer | None = None


@dataclass(frozen=True)
class Expanded:
    """A texture, its sibling maps, and what the user should know."""

    image: Tensor
    """(1, 3, H, W) in [0, 1]."""
    siblings: tuple[Tensor, ...] = ()
    """Each (1, c, H, W)."""
    notes: tuple[str, ...] = ()


def load_networks(
    settings: ExpandSettings, model: str | Model, device: torch.device | str, dtype: torch.dtype
) -> Networks:
    """Load what the method of `settings` needs, or may need when it is open. Raises ModelError.

    model: its name or file, or one that is loaded already.
    """
    named = settings.method == "auto" or "transposer" in settings.method
    transposer = load_transposer("transposer", device, dtype) if named else None
    loaded = load_model(model, device, dtype) if isinstance(model, str) else model
    return Networks(loaded, transposer)


@torch.no_grad()
def expand(
    exemplars: Sequence[Exemplar],
    settings: ExpandSettings,
    networks: Networks,
    *,
    guide: Tensor | None = None,
    rng: torch.Generator,
    on_step: OnStep | None = None,
) -> Expanded:
    """More of a texture, or of several mixed; arguments and errors as for `ready` and `expand_ready`."""
    network = networks.transposer is not None
    found = ready(exemplars, settings, guided=guide is not None, network=network)
    return expand_ready(found, networks, guide=guide, rng=rng, on_step=on_step)


@torch.no_grad()
def expand_ready(
    found: Ready,
    networks: Networks,
    *,
    guide: Tensor | None = None,
    rng: torch.Generator,
    on_step: OnStep | None = None,
) -> Expanded:
    """More of what is ready.

    guide: (1, g, H', W') in [0, 1], resized to the output: where it is bright, what the exemplars' guides say
    is bright. rng: on the CPU. Raises InputError for masks that leave too little to take from.
    """
    exemplars: Sequence[Exemplar] = found.exemplars
    settings, size = found.settings, found.size
    plain = _constant(exemplars, size)
    if plain is not None:
        return plain
    stages = settings.method.split("+")
    image, siblings = None, None
    notes: tuple[str, ...] = ()
    if "transposer" in stages:
        image, siblings = _transposed(exemplars[0], size, settings, networks, rng, on_step)
    if "patch" in stages:
        lattice, exemplars = _closed(found.lattice, exemplars, settings, size)
        source, aim = _guided(exemplars, guide, image, size, settings, rng)
        atlas = build_atlas(source, guided=aim is not None)
        wanted = Wanted(size, settings.tileable, lattice, aim, mixed=len(exemplars) > 1)
        planes = patch_stage(atlas, wanted, settings.patch, rng, on_step)
        image, siblings = planes[None, :3], planes[None, 3:]
    if "optimize" in stages and image is not None:
        image, notes = optimize(
            image, exemplars, networks.model, settings.optimize, rng, wrap=settings.tileable, on_step=on_step
        )
    elif image is None:
        image, notes = synthesize(
            size, exemplars, networks.model, settings.optimize, rng, wrap=settings.tileable, on_step=on_step
        )
    assert image is not None
    return Expanded(image.clamp(0, 1), _split(siblings, exemplars[0]), found.notes + notes)


@torch.no_grad()
def fill(
    picture: Exemplar,
    hole: Tensor,
    settings: ExpandSettings,
    networks: Networks,
    *,
    rng: torch.Generator,
    on_step: OnStep | None = None,
) -> Expanded:
    """In-paint: the texture goes on over the hole, everything else stays.

    hole: (1, 1, h, w), above 0.5 what is to be filled. Raises InputError when too little is left.
    """
    missing = hole[0, 0] > 0.5
    mask = ~missing if picture.mask is None else ~missing & (picture.mask[0, 0] > 0.5)
    source = Exemplar(picture.image, picture.siblings, mask[None, None].float())
    lattice = find_lattice(picture.image) if settings.patch.lattice == "auto" else None
    return _completed(source, ~missing, lattice, settings, networks, rng, on_step)


@torch.no_grad()
def tile(
    picture: Exemplar,
    settings: ExpandSettings,
    networks: Networks,
    *,
    rng: torch.Generator,
    on_step: OnStep | None = None,
) -> Expanded:
    """Make a picture seamless: a band along its borders is laid anew on the torus, the inside stays."""
    height, width = picture.image.shape[2:]
    band = max(4, round(TILE_BAND * min(height, width)))
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[band:-band, band:-band] = True
    lattice = find_lattice(picture.image) if settings.patch.lattice == "auto" else None
    lattice = snapped(lattice, (height, width)) if lattice else None
    settings = settings.model_copy(update={"tileable": True})
    return _completed(picture, inside, lattice, settings, networks, rng, on_step)


def _completed(
    picture: Exemplar,
    fixed: Tensor,
    lattice: Lattice | None,
    settings: ExpandSettings,
    networks: Networks,
    rng: torch.Generator,
    on_step: OnStep | None,
) -> Expanded:
    """The picture with everything but its fixed pixels laid anew."""
    if settings.upright:
        raise UsageError("a picture that is completed keeps its place; leave out upright")
    if settings.method not in ("auto", "patch", "patch+optimize"):
        raise UsageError(f"method {settings.method} cannot complete a picture; use patch or patch+optimize")
    size = (picture.image.shape[2], picture.image.shape[3])
    wanted = Wanted(size, settings.tileable, lattice, fixed=fixed)
    planes = patch_stage(build_atlas([picture]), wanted, settings.patch, rng, on_step)
    image, notes = planes[None, :3], tuple[str, ...]()
    if "optimize" in settings.method:
        image, notes = optimize(
            image,
            [picture],
            networks.model,
            settings.optimize,
            rng,
            wrap=settings.tileable,
            fixed=fixed,
            on_step=on_step,
        )
    image = torch.where(fixed, picture.image, image)
    return Expanded(image.clamp(0, 1), _split(planes[None, 3:], picture), notes)


def _constant(exemplars: Sequence[Exemplar], size: tuple[int, int]) -> Expanded | None:
    """More of the same colour, when there is only one."""
    if len(exemplars) > 1 or exemplars[0].siblings:
        return None
    image, mask = exemplars[0].image, exemplars[0].mask
    colours = image.flatten(2)[0] if mask is None else image[0][:, mask[0, 0] > 0.5]
    if not colours.shape[1] or float((colours.amax(1) - colours.amin(1)).amax()) >= CONSTANT:
        return None
    return Expanded(colours.median(1).values.view(1, 3, 1, 1).expand(1, 3, *size).clone())


def _transposed(
    exemplar: Exemplar,
    size: tuple[int, int],
    settings: ExpandSettings,
    networks: Networks,
    rng: torch.Generator,
    on_step: OnStep | None,
) -> tuple[Tensor, Tensor]:
    assert networks.transposer is not None
    extras = torch.cat([exemplar.image[:, :0], *exemplar.siblings], 1)
    image, siblings = networks.transposer.expand(
        exemplar.image, size, circular=settings.tileable, rng=rng, variation=settings.variation, extras=extras
    )
    if on_step:
        on_step(Step("transposer", 1, 1))
    return image.float().cpu(), extras.new_zeros(1, 0, *size) if siblings is None else siblings.float().cpu()


def _closed(
    lattice: Lattice | None, exemplars: Sequence[Exemplar], settings: ExpandSettings, size: tuple[int, int]
) -> tuple[Lattice | None, Sequence[Exemplar]]:
    """The lattice and the exemplars, bent where a torus needs whole periods."""
    if lattice is None or not settings.tileable:
        return lattice, exemplars
    closed = snapped(lattice, size)
    if closed is None or bend(lattice, closed) < SMALL_BEND:
        return closed, exemplars
    return closed, [bent(exemplars[0], lattice, closed)]


def _guided(
    exemplars: Sequence[Exemplar],
    guide: Tensor | None,
    image: Tensor | None,
    size: tuple[int, int],
    settings: ExpandSettings,
    rng: torch.Generator,
) -> tuple[list[Exemplar], Tensor | None]:
    """Exemplars with the planes that guide a layout, and what these should be in the output, (g, H, W)."""
    planes: list[list[Tensor]] = [[] for _ in exemplars]
    aims = []
    if guide is not None:
        planes = [[guide_of(e)[None]] for e in exemplars]
        aims.append(resize(guide, *size)[0])
    if image is not None:
        # Another stage's picture shows where large shapes go; its own pixels are then not needed.
        radius = max(1, min(exemplars[0].image.shape[2:]) // 32)
        planes = [[*p, box_mean(e.image, radius)] for p, e in zip(planes, exemplars, strict=True)]
        aims.append(box_mean(image, radius)[0])
    if len(exemplars) > 1:
        scale = MIX_SCALE * min(min(e.image.shape[2:]) for e in exemplars)
        shares = [e.weight for e in exemplars]
        aims.append(label_field(size, shares, scale, rng, wrap=settings.tileable))
        planes = [
            [*p, _label(e, k, len(exemplars))] for k, (p, e) in enumerate(zip(planes, exemplars, strict=True))
        ]
    if not aims:
        return list(exemplars), None
    both = zip(planes, exemplars, strict=True)
    return [replace(e, guide=torch.cat(p, 1)) for p, e in both], torch.cat(aims)


def _label(exemplar: Exemplar, number: int, count: int) -> Tensor:
    """(1, count, h, w), one in plane `number`."""
    label = torch.zeros(1, count, *exemplar.image.shape[2:])
    label[:, number] = 1
    return label


def _split(siblings: Tensor | None, exemplar: Exemplar) -> tuple[Tensor, ...]:
    if siblings is None or not exemplar.siblings:
        return ()
    return tuple(torch.split(siblings, [s.shape[1] for s in exemplar.siblings], 1))
