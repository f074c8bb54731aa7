"""Settings of the trainings that have recipes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from texsynth.config.settings import Fraction, Level, Listed, Settings

Weight = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]


def _pooled_four_times(pixels: int) -> int:
    if pixels % 16:
        raise ValueError(f"crop_px {pixels} is not a multiple of 16; try {pixels // 16 * 16}")
    return pixels


CropSide = Annotated[int, Field(ge=32, le=1024), AfterValidator(_pooled_four_times)]

NEUTRAL = ("workers", "save_every", "validate_every")
"""Settings that do not change the result, so that a resumed training may have others."""

LATER = ("bottleneck", "decoded", "finer", "mapped")
"""Settings of decoders that checkpoints of earlier versions do not have; they are kept if not the default."""

RENAMED = {"vivid": "contrast_jitter", "alike": "same_view", "turn": "rotate"}
"""Present names of settings by those of earlier versions, which presets and --set may still use."""


class DecoderSettings(Settings):
    """Settings of `texsynth train decoder`; `decoder` and `decoder-paper` are its presets."""

    steps: Count | None = 1000
    """Length of the training; None leaves it to `epochs`."""
    epochs: Annotated[tuple[Annotated[float, Field(gt=0)], ...] | None, Listed] = None
    """Passes over the pictures for the decoders of levels 1 to 5, instead of `steps`; photo counts as 4."""
    batch: Count = 16
    """Crops per step."""
    resize_px: Annotated[int, Field(ge=32)] | None = None
    """Pictures are first resized to squares of this side, as in paper 002; None leaves them as they are."""
    crop_px: CropSide = 128
    """Side of the random crops."""
    mirror: bool = True
    """Mirror half of the crops."""
    contrast_jitter: Fraction = 0.25
    """Share of crops with up to twice the contrast, as styles have and photographs do not."""
    start: Literal["closed-form", "random"] = "closed-form"
    """The run's weights, else regression and the shallower decoder; or random weights, as in paper 002."""
    bottleneck: Count | None = None
    """Channels on the way to the next finer level, whose decoder does the rest; None for a whole decoder."""
    decoded: Count | None = None
    """Crops of a step that are decoded to pictures, for all terms but `finer`; None for all."""
    reconstruction: Weight = 1.0
    """Weight of the image error."""
    cycle: Weight = 1.0
    """Weight of the feature error."""
    finer: Weight = 0.0
    """Weight of the error of the features of the next finer level, halfway to the image."""
    mapped: Weight = 0.0
    """Weight of the feature error where WCT has mapped the features to another crop's, by 0.2 to 1."""
    errors: Literal["relative", "sum"] = "relative"
    """Mean squares over the variance of their targets, or the squared norms of (002, eq. 28) per picture."""
    optimizer: Literal["muon+adam", "adam"] = "muon+adam"
    """Muon for kernels and Adam for biases, or Adam for both."""
    kernel_rate: Rate = 2.5e-4
    """Learning rate of the kernels."""
    rate: Rate = 3e-4
    """Learning rate of the biases."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rates fall to 1% along a cosine, or stay."""
    warmup: Annotated[int, Field(ge=0)] = 30
    """Steps over which the learning rates rise."""
    clip: Weight = 1.0
    """Largest gradient norm; larger gradients are scaled down to it. 0 leaves all as they are."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the running average of the weights, which is what is written; 0 writes the last weights."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number type of the networks while training; float16 needs CUDA. Weights are always float32."""
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    """Processes that read pictures. With 0 the training does it itself, and keeps what fits in 2 GiB."""
    save_every: Count = 100
    """Steps between checkpoints."""
    validate_every: Count = 100
    """Steps between measurements of the PSNR on up to 16 held-out pictures."""

    @field_validator("epochs")
    @classmethod
    def _one_for_each_level(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and len(value) != 5:
            raise ValueError(f"epochs {list(value)} must be five numbers, for levels 1 to 5")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> DecoderSettings:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("one of steps and epochs must be given, and the other must be null")
        if self.resize_px is not None and self.resize_px < self.crop_px:
            raise ValueError(f"resize_px {self.resize_px} must not be less than crop_px {self.crop_px}")
        if self.reconstruction + self.cycle + self.finer == 0:
            raise ValueError("one of reconstruction, cycle and finer must be above 0")
        return self


class StylisedSettings(Settings):
    """Settings of `texsynth train decoder --stylised`; `cascade` is its preset."""

    steps: Count = 1250
    """Length of the training."""
    batch: Annotated[int, Field(ge=2)] = 8
    """Crops per step."""
    crop_px: CropSide = 192
    """Side of the random crops, of contents and of styles."""
    identity_share: Fraction = 0.25
    """Share of the crops of a step that are stylised by themselves, and must come back."""
    anchors: Count = 2
    """Contents of a step, and as many styles, that each decoder alone must rebuild."""
    flat: Fraction = 0.125
    """Share of contents, and half of it of styles, that are blurred until only soft gradients are left."""
    ift: Weight = 0.4
    """Odds of the transform ift with its default settings."""
    wct: Weight = 0.3
    """Odds of the transform wct."""
    ot: Weight = 0.2
    """Odds of the transform ot."""
    adain: Weight = 0.1
    """Odds of the transform adain."""
    full_strength: Fraction = 0.5
    """Share of crops that are stylised with strength 1; for the others it is drawn from 0.2 to 1."""
    grain: Fraction = 0.05
    """Deviation of the noise that half of the contents get first, as `stylize` has it."""
    gram: Weight = 3.0
    """Weight of the distance of Gram matrices of the teacher's features to those of the style."""
    covariance: Weight = 1.5
    """Weight of the distance of covariances of the teacher's features to those of the style."""
    content: Weight = 0.5
    """Weight of the distance of the teacher's features to those of the content, each channel normalised."""
    edges: Weight = 1.5
    """Weight of 1 minus the structural similarity of edges to those of the content."""
    identity: Weight = 4.0
    """Weight of the image error of a content that is stylised by itself."""
    tint: Weight = 20.0
    """Weight of this error where details do not count, in means of 16 x 16 pixels: light and colours."""
    grid: Weight = 0.03
    """Weight of what recurs every eight pixels, the stride of level 4, over what chance leaves of details."""
    reconstruction: Weight = 2.0
    """Weight of the image error of each decoder alone."""
    cycle: Weight = 0.5
    """Weight of the feature error of each decoder alone."""
    rate: Rate = 8e-5
    """Learning rate of Adam."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """The learning rate falls to 1% along a cosine, or stays."""
    warmup: Annotated[int, Field(ge=0)] = 30
    """Steps over which the learning rate rises."""
    clip: Weight = 1.0
    """Largest gradient norm; larger gradients are scaled down to it. 0 leaves all as they are."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Decay of the running average of the weights, which is what is written; 0 writes the last weights."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number type of the networks while training. Weights are always float32."""
    save_every: Count = 50
    """Steps between checkpoints; the averaged decoders are written and judged there."""
    judged_px: CropSide = 256
    """Side of the held-out pictures that are stylised to judge the decoders."""

    @model_validator(mode="after")
    def _has_work(self) -> StylisedSettings:
        if not self.ift + self.wct + self.ot + self.adain:
            raise ValueError("one of the odds ift, wct, ot and adain must be above 0")
        if not self.gram + self.covariance:
            raise ValueError(
                "one of gram and covariance must be above 0; without them use the decoder preset"
            )
        return self


class DescriptorSettings(Settings):
    """Settings of `texsynth train descriptor`."""

    steps: Count = 800
    """Length of the training."""
    batch: Annotated[int, Field(ge=2)] = 64
    """Textures per step, of each of which two crops are to find each other."""
    crop_px: CropSide = 128
    """Side of the crops."""
    levels: Annotated[tuple[Level, ...], Field(min_length=1)] = (1, 2, 3, 4, 5)
    """Levels of features that are encoded."""
    codewords: Count = 16
    """Codewords of each level, K."""
    channels: Count = 32
    """Channels that features are reduced to, D."""
    size: Count = 128
    """Numbers of a descriptor."""
    positions: Count = 256
    """Feature vectors of each level that a step takes from a crop."""
    same_view: Fraction = 0.5
    """Share of pairs whose crops have the same size and light; in the others both change."""
    scale: Annotated[float, Field(ge=0, le=2)] = 0.6
    """Largest change of size, in octaves."""
    light: Annotated[float, Field(ge=0, le=2)] = 0.5
    """Largest change of brightness and of gamma, in octaves."""
    tint: Fraction = 0.1
    """Largest change of a single colour channel."""
    rotate: bool = False
    """Turn crops by random multiples of 90 degrees, each on its own."""
    temperature: Annotated[float, Field(gt=0)] = 0.1
    """Temperature of the softmax over similarities; a small one looks at the nearest wrong textures alone."""
    rate: Rate = 2e-3
    """Learning rate of Adam."""
    warmup: Annotated[int, Field(ge=0)] = 50
    """Steps over which the learning rate rises; afterwards it falls along a cosine."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the running average of the weights, which is what is written; 0 writes the last weights."""
    save_every: Count = 100
    """Steps between checkpoints."""

    @field_validator("levels", mode="before")
    @classmethod
    def _levels_to_tuple(cls, value: object) -> object:
        return tuple(sorted(set(value))) if isinstance(value, list) else value


class BorderSettings(Settings):
    """Settings of `texsynth train borders`."""

    steps: Count = 12000
    """Length of the training."""
    batch: Count = 6
    """Windows of layouts per step."""
    layouts: Count = 3000
    """Layouts made before the training; each step draws among them."""
    crop_px: Annotated[int, Field(ge=32, le=512)] = 112
    """Side of the exemplars, random crops of textures of twice this side."""
    output_px: Annotated[int, Field(ge=32, le=1024, multiple_of=8)] = 160
    """Side of the layouts."""
    window_px: Annotated[int, Field(ge=32, le=1024, multiple_of=8)] = 128
    """Side of the windows that a step looks at."""
    patches: Count = 128
    """Patches of a window that are compared with the exemplar."""
    at_borders: Fraction = 0.05
    """Share of these that are centred on borders; the others lie anywhere within reach of one."""
    sharpness: Weight = 0.3
    """Weight of the strength of gradients."""
    wasserstein: Weight = 0.5
    """Weight of the distribution of patches over the whole window."""
    rate: Rate = 1.5e-3
    """Learning rate of Adam."""
    warmup: Annotated[int, Field(ge=0)] = 50
    """Steps over which the learning rate rises; afterwards it falls along a cosine."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Decay of the running average of the weights, which is what is written; 0 writes the last weights."""
    save_every: Count = 200
    """Steps between checkpoints."""

    @model_validator(mode="after")
    def _fits(self) -> BorderSettings:
        most = min(self.output_px, 2 * self.crop_px)
        if self.window_px > most:
            raise ValueError(
                f"window_px {self.window_px} must not exceed {most}, what output_px and crop_px leave"
            )
        return self


class TransposerSettings(Settings):
    """How `texsynth train transposer` trains; the four variants of paper 004 are presets."""

    layout: Literal["paper"] = "paper"
    """Pixels made from features alone, as in paper 004; that of copies is trained by `train borders`."""
    encoder: Literal["own", "lite", "vgg19"] = "lite"
    """Its own strided encoder, trained with the rest, or the features of a pretrained model, kept.

    lite is the model that the losses look through, vgg19 the model of that name."""
    width: Annotated[float, Field(gt=0, le=2)] = 1.0
    """Channels over those of the paper, which are 64 to 1024."""
    gram: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the L1 distance of Gram matrices, relative to the target's."""
    wasserstein: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the sliced Wasserstein distance, relative to the target's variance."""
    perceptual: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the L1 distance of features place by place, relative to the target's."""
    critic: Annotated[float, Field(ge=0)] = 0.2
    """Weight of the patch critic (spectral norm, hinge)."""
    frechet: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the Frechet distance of features to those of all targets so far, over their variance."""
    regions: Annotated[int, Field(ge=1, le=8)] = 1
    """Spatial tags of the sliced Wasserstein distance: compare regions x regions parts one by one."""
    directions: Annotated[int, Field(ge=1, le=1024)] = 24
    """Random projections at each level."""
    samples: Annotated[int, Field(ge=64)] = 1024
    """Most positions of a level that are projected."""
    crop_px: Annotated[int, Field(ge=16, le=512)] = 64
    """Side of the exemplar, the middle of a target of twice this side."""
    batch: Annotated[int, Field(ge=1)] = 6
    """Targets per step."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Length as passes over the pictures, unless --steps says it; None is 1500 steps."""
    optimizer: Literal["muon+adam", "adam"] = "muon+adam"
    """Muon for kernels and Adam for everything else, or Adam for both."""
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    """Learning rates fall to 1% along a cosine, or stay, or fall to a tenth after each quarter of them."""
    kernel_rate: Annotated[float, Field(gt=0)] = 1.5e-3
    """Learning rate of the convolutions."""
    rate: Annotated[float, Field(gt=0)] = 1e-3
    """Learning rate of everything else."""

    @model_validator(mode="after")
    def _has_a_loss(self) -> TransposerSettings:
        if self.gram + self.wasserstein + self.perceptual + self.critic + self.frechet == 0:
            raise ValueError("one of gram, wasserstein, perceptual, critic and frechet must be above 0")
        return self
