"""Frozen settings: every field is a YAML key of a preset, a `--set` path and, where common, a flag.

Nothing here imports torch, so presets are read and checked before the heavy start-up.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from texsynth.config.base import EvenLight, NoiseSettings, Orientations, ReadSettings
from texsynth.config.base import Fraction as Fraction
from texsynth.config.base import Settings as Settings

Level = Annotated[int, Field(ge=1, le=5)]
Ridge = Annotated[float, Field(gt=0, le=1)]

Listed = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
"""For tuples: YAML has lists only."""

T = TypeVar("T")

ByLevel = Annotated[
    Annotated[T, Field(title="number"), Tag("number")]
    | Annotated[dict[Level, T], Field(title="levels"), Tag("levels")],
    Discriminator(lambda value: "levels" if isinstance(value, dict) else "number"),
]
"""A number for all levels, or numbers of some: `{4: 2.0}`; levels that are left out have the default."""


class AdaINSettings(Settings):
    """Per-channel mean and deviation (Huang and Belongie 2017)."""

    name: Literal["adain"] = "adain"
    ridge: Ridge = 1e-3
    """Added to all variances, as a share of their mean; keeps channels that rarely fire from blowing up."""


class WCTSettings(Settings):
    """Whitening and colouring (Li et al. 2017)."""

    name: Literal["wct"] = "wct"
    ridge: Ridge = 1e-3
    """Added to both covariances, as a share of their mean variance; keeps weak directions from blowing up."""


class OTSettings(Settings):
    """Optimal transport between Gaussians: the Monge map, least change of the content (Lu et al. 2019)."""

    name: Literal["ot"] = "ot"
    ridge: Ridge = 1e-3
    """As in WCT."""


class IFTSettings(Settings):
    """Iterative feature transformation (Chiu and Gurari 2020), run on C x C matrices."""

    name: Literal["ift"] = "ift"
    pull: ByLevel[Annotated[float, Field(gt=0)]] = 32.0
    """Weight of the style term per pixel, lambda / n, in units of 1 / (mean second moment of the style).

    Independent of picture size and of feature scale. Small stays close to the content, large goes to the
    style."""
    n_upd: ByLevel[Annotated[int, Field(ge=1, le=1000)]] = 40
    """Gradient steps for each anchor."""
    n_iter: Annotated[int, Field(ge=1, le=100)] = 1
    """How often the anchor moves to the current result."""
    step: Literal["line", "safe", "fixed"] = "line"
    """Exact line search, the bound 1/L that cannot diverge, or the paper's fixed rate.

    Where the fixed rate would increase the loss, a safe step takes its place."""
    rate: Annotated[float, Field(gt=0)] = 0.01
    """Step size of `fixed`."""
    centred: bool = True
    """Match covariance and mean; False is the paper's uncentred Gram matrix, which the mean dominates."""


class DescentSettings(Settings):
    """No map of features, but gradient descent on the picture itself (Gatys et al. 2015); slow."""

    name: Literal["optimize"] = "optimize"
    iterations: Annotated[int, Field(ge=1, le=10000)] = 100
    """Of L-BFGS."""
    content: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the distance to the content's features against that of the Gram matrices."""


TransformSettings = Annotated[
    AdaINSettings | WCTSettings | OTSettings | IFTSettings | DescentSettings, Field(discriminator="name")
]


S = TypeVar("S", bound=Settings)


def at_level(settings: S, level: int) -> S:
    """Return the settings of one level: mappings become numbers, by default those of the class."""
    fields = type(settings).model_fields
    own: dict[str, Any] = {
        name: value.get(level, fields[name].default) for name, value in settings if isinstance(value, dict)
    }
    return settings.model_copy(update=own)


class FinishSettings(Settings):
    """Descent on the pixels of a painted picture, which sharpens its strokes."""

    steps: Annotated[int, Field(ge=0, le=10000)] = 0
    """0 for no finish. Each takes about as long as three passes of the encoder."""
    rate: Annotated[float, Field(gt=0, le=1)] = 0.02
    """Step size of Adam at the start; it falls to a tenth."""
    content: Annotated[float, Field(ge=0)] = 0.03
    """Weight of the content's contours against the style."""


class StylizeSettings(Settings):
    """How `texsynth stylize` works."""

    mode: Literal["artistic", "photo"] = "artistic"
    """Autoencoders coarse to fine, or one encoding decoded with high-frequency skips."""
    transform: TransformSettings = OTSettings()
    """How content features become style features."""
    levels: Annotated[tuple[Level, ...], Listed, Field(min_length=1)] = (4, 3, 2, 1)
    """Levels that are transformed, from coarse to fine."""
    strength: Fraction = 1.0
    """0 keeps the content, 1 applies the whole map."""
    level_strength: dict[Level, Fraction] = Field(default={})
    """Strength of single levels, multiplied with `strength`."""
    preserve_color: bool = False
    """Keep the colours of the content and take only light and dark from the style."""
    edge_aware: bool = True
    """In photo mode, keep to the content's contours: no haloes, no blotches, and no grain from the style."""
    grain: Fraction = 0.03
    """In artistic mode, deviation of lightness that noise gives flat areas, so that they get strokes.

    The style's strokes grow out of what is there; a clear sky has nothing for them to grow out of. What has
    as much contrast of its own gets no noise, and dark areas get less."""
    preserve_detail: Fraction = 0.5
    """In artistic mode, share of the content's fine detail that goes around levels 4 and 5.

    They would lose small faces and lettering. 0 lets the style have its way everywhere."""
    preserve_light: Fraction = 0.35
    """In artistic mode, how far dark things stay dark and light ones light, at levels 3 to 5.

    0 lets the style put its lights and darks where it likes."""
    style_scale: Annotated[float, Field(ge=0.25, le=8)] = 1.0
    """In artistic mode, size of strokes over the style's: coarse levels paint the content reduced by it."""
    regions: Literal["auto", "off"] = "off"
    """Find regions that content and style share, like sky and ground, and match each with its counterpart."""
    finish: FinishSettings = FinishSettings()
    """In artistic mode, strokes as sharp as the style's, for seconds instead of less than one."""

    @model_validator(mode="after")
    def _finish_of_paintings(self) -> StylizeSettings:
        if self.finish.steps and self.mode == "photo":
            raise ValueError(
                "a finish sharpens brushwork, so mode must be artistic; or set finish.steps to 0"
            )
        if self.finish.steps and self.transform.name == "optimize":
            raise ValueError("transform optimize descends on pixels already; set finish.steps to 0")
        return self

    @model_validator(mode="after")
    def _descent_paints(self) -> StylizeSettings:
        if self.mode == "photo" and self.transform.name == "optimize":
            raise ValueError("transform optimize paints, so mode must be artistic")
        return self

    @field_validator("levels")
    @classmethod
    def _coarse_to_fine(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value), reverse=True):
            raise ValueError(
                f"levels {list(value)} must go from coarse to fine without repeats, like [4, 3, 2, 1]"
            )
        return value


Method = Literal[
    "auto",
    "noise",
    "transposer",
    "patch",
    "optimize",
    "transposer+patch",
    "transposer+optimize",
    "patch+optimize",
    "transposer+patch+optimize",
]
"""Stages of an expansion: a layout, and what refines it; or auto, which leaves them to the exemplar."""


class PatchSettings(Settings):
    """The patch-based stage: a layout quilted in source coordinates, then search and vote over a pyramid."""

    block: Annotated[float, Field(gt=0.05, le=0.9)] = 0.4
    """Side of a quilted block, as a share of the exemplar's shorter side."""
    overlap: Annotated[float, Field(gt=0.05, le=0.5)] = 0.2
    """Overlap of neighbouring blocks, as a share of the block."""
    tolerance: Annotated[float, Field(ge=0, le=10)] = 0.1
    """Blocks whose error is within this share of the best may be drawn."""
    occurrence: Annotated[float, Field(ge=0, le=100)] = 3.0
    """How strongly parts of the exemplar that are already used are avoided."""
    layouts: Annotated[int, Field(ge=1, le=100)] = 2
    """Layouts made; the one with the faintest seams and the most even use of the exemplar is kept."""
    lattice: Literal["auto", "off"] = "auto"
    """Keep the lattice of a regular texture; off treats every texture as irregular."""
    refine: Annotated[float, Field(ge=0, le=100)] = 2.0
    """Blocks laid again over the worst seams, for each block of the layout."""
    patch_px: Annotated[int, Field(ge=4, le=32)] = 8
    """Side of the patches that are searched and voted."""
    iterations: Annotated[tuple[Annotated[int, Field(ge=0, le=50)], ...], Listed] = (2,)
    """Rounds of search and vote, one number per pyramid level from coarse to fine; () skips them."""
    guide: Annotated[float, Field(ge=0, le=100)] = 2.0
    """Weight of a guide map against the texture itself."""


class OptimizeSettings(Settings):
    """The statistics stage: gradient descent on the pixels until feature statistics are the exemplar's."""

    loss: Literal["wasserstein", "gram"] = "wasserstein"
    """Sliced Wasserstein distance of features (Heitz et al. 2021), or Gram matrices (Gatys et al. 2015)."""
    iterations: Annotated[int, Field(ge=1, le=10000)] = 12
    """Steps at full size after another stage."""
    rate: Annotated[float, Field(gt=0, le=1)] = 0.003
    """Step size of Adam after another stage."""
    noise_iterations: Annotated[int, Field(ge=1, le=10000)] = 50
    """Steps at each pyramid level when there is no other stage and noise is the start."""
    noise_rate: Annotated[float, Field(gt=0, le=1)] = 0.03
    """Step size of Adam from noise."""
    patches: Annotated[float, Field(ge=0, le=100)] = 0.3
    """Weight of the distance of Laplacian-pyramid patches against that of features."""


BORDERS = "borders"  # The embedded network that repairs borders between copies


class ExpandSettings(Settings):
    """How `texsynth expand` works."""

    method: Method = "auto"
    """Stages, in this order, or noise, which is none.

    auto is noise for textures without shapes and sibling maps, by four figures; else transposer for fine
    grain without these maps (means over 1/32 of the shorter side keep at most 0.45 of the deviation of
    lightness) that need not be tileable, if variety is 0; transposer+patch for a small exemplar of a regular
    texture (self-similarity of 0.7 and more in two directions, a shorter side below 192 pixels and of at
    least 1.5 periods); patch for all others, and for masks, guides, holes, mixtures and tileable outputs.
    What was chosen is recorded."""
    scale: Annotated[float, Field(gt=0, le=64)] = 2.0
    """Output over exemplar, on both sides; `size` takes precedence."""
    size: Annotated[tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None, Listed] = None
    """Width and height of the output in pixels."""
    tileable: bool = False
    """Make the output periodic: its right border continues at the left, its bottom at the top."""
    upright: bool = False
    """Turn the exemplar by up to 45 degrees first, so that its strongest lines are level or upright."""
    orientations: Orientations = "auto"
    """Turns and mirror images in which pieces are laid: auto, those in which the texture is the same by its
    statistics; none; mirror, left to right alone; or all eight."""
    variety: Fraction = 0.5
    """How hard copies are kept apart, above all of what stands out: 0 not at all, 1 at the cost of seams."""
    candidates: Annotated[int, Field(ge=1, le=100)] = 1
    """Finished pictures made, of which the one with the fewest cut objects is kept; of one exemplar."""
    transposer: str | None = BORDERS
    """Network of the transposer stage, a name or a weight file; none leaves copies as they are.

    borders, the embedded one, repairs what meets at their borders. Any other makes an open method
    `transposer`."""
    variation: Fraction = 0.0
    """Share of seeded noise mixed into the Transposer's self-similarity maps."""
    patch: PatchSettings = PatchSettings()
    """The patch-based stage."""
    optimize: OptimizeSettings = OptimizeSettings()
    """The statistics stage."""
    noise: NoiseSettings = NoiseSettings()
    """The method noise."""
    even_light: EvenLight = "auto"
    """Take slow changes of light and colour out of the exemplar first, all of them at 1.

    auto does so where they are too smooth to be part of the texture. What stays of a picture, by `texsynth
    tile` or around a hole, keeps its light; sibling maps keep theirs."""

    @field_validator("transposer", mode="before")
    @classmethod
    def _none_by_name(cls, value: object) -> object:
        return None if value == "none" else value


MAX_PIXELS = 1 << 28
"""16384 x 16384."""

QUALITY = 95
"""Quality of JPEG and WebP where none is asked for."""

MEMORY_LIMIT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(%|B|KiB|MiB|GiB|TiB)?")
"""Bytes with or without a unit, or a share of what is free."""

ExecutorName = Literal["serial", "processes", "ray"]

EXECUTORS: tuple[ExecutorName, ...] = get_args(ExecutorName)
"""Ways to do many jobs: in this process, in several of this machine, or on a Ray cluster."""


class RunSettings(ReadSettings):
    """What a run needs besides the look: model, machine, seed, and how pictures are read and written."""

    model: str = "lite"
    """Name of an embedded or cached model, or path of a weight file."""
    device: str = "auto"
    """auto, cpu, mps, cuda or cuda:N."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number type of the networks; statistics are always float64."""
    backend: Literal["torch", "openvino"] = "torch"
    """What computes the networks of a stylization."""
    compiled: bool = False
    """Compile the networks first, which takes up to minutes once for each model, device and number type."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """CPU threads; None leaves the choice to torch."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Together with the relative path of a picture it decides all random numbers."""
    max_pixels: Annotated[int, Field(ge=1)] = MAX_PIXELS
    """Pictures with more pixels are refused before they are decoded."""
    frame: Annotated[int, Field(ge=0)] | None = None
    """Frame of animated pictures, page of TIFF files."""
    max_side: Annotated[int, Field(ge=1)] | None = None
    """Larger contents are reduced to this many pixels on the longer side."""
    bit_depth: Literal[8, 16, 32] | None = None
    """Bits per channel written, 32 for floats of linear light; None keeps those of the content."""
    quality: Annotated[int, Field(ge=1, le=100)] = QUALITY
    """Of JPEG and WebP."""
    memory_limit: str | None = None
    """Memory that a stylization may take, like 4GiB or 80%; None is half of what is free."""
    srgb: bool = False
    """Results are sRGB, also those of inputs with a wider space."""
    strip: bool = False
    """Results say nothing of what their inputs say beside their pixels."""
    tile: Annotated[int, Field(ge=0)] | None = None
    """Side in pixels of the tiles of a stylization, 0 for none; None leaves it to the memory limit."""

    @field_validator("memory_limit")
    @classmethod
    def _is_a_size(cls, value: str | None) -> str | None:
        parts = MEMORY_LIMIT.fullmatch("100%" if value is None else value)
        if not parts or (parts[2] == "%" and float(parts[1]) > 100):
            raise ValueError(f"memory limit {value!r} must be like 4GiB, 500MiB or 80%")
        return value
