"""Styles by region for files: what contents share with the styles of a job."""

from collections.abc import Sequence
from functools import reduce

from torch import Tensor

from texsynth.analysis.clusters import SharedClusters
from texsynth.config.settings import RunSettings, StylizeSettings
from texsynth.errors import InputError
from texsynth.images.tensors import to_image, to_weight
from texsynth.jobs.blend_inputs import BlendSpec, StyledJob, StyleSource
from texsynth.jobs.files import memory_guard, read_visible
from texsynth.jobs.inputs import Input
from texsynth.jobs.memory import style_tile
from texsynth.models.registry import Model
from texsynth.pipelines.rasters import Raster, TensorRaster
from texsynth.pipelines.region_styles import fit_regions, lay_regions
from texsynth.pipelines.shared_regions import Overview, look_over, shared_regions
from texsynth.pipelines.stylize import FittedStyle, StyledRegion


class RegionalStyles:
    """The styles of a job, for contents that each share other regions with them."""

    def __init__(self, spec: BlendSpec, model: Model, run: RunSettings) -> None:
        """Look at all style pictures. Raises InputError for a card or a file that cannot be used."""
        self._spec, self._model, self._run = spec, model, run
        self._views: dict[Input, Overview] = {}
        for item in (item for part in spec.styles for item in part.sources):
            if item.is_card:
                raise InputError(
                    f"{item} is a card, which has no pixels to find regions in; give the picture itself, or "
                    "--regions off"
                )
            image, opacity = self._read(item)
            with memory_guard(item):
                self._views[item] = look_over(TensorRaster(image), model, opacity)

    def layers(
        self,
        job: StyledJob,
        content: Raster,
        opacity: Tensor | None,
        layers: list[Sequence[StyledRegion]],
    ) -> tuple[list[Sequence[StyledRegion]], str]:
        """Return the styles that are laid over a content, one after the other, and the regions in words.

        opacity: (1, 1, H, W) of the content. layers: those without regions.
        """
        parts = [(p, w) for p, w in zip(self._spec.styles, job.weights, strict=True) if w > 0]
        pictures = list(dict.fromkeys(item for part, _ in parts for item in part.sources))
        view = look_over(content, self._model, opacity)
        shared = shared_regions(view, [self._views[item] for item in pictures])
        if shared.count == 1:
            return layers, "one"
        numbers = {item: number for number, item in enumerate(pictures, 1)}
        entire = [style for layer in layers for region in layer for style in region.styles]
        styles = [
            self._fit(part, job.settings, shared, numbers, whole)
            for (part, _), whole in zip(parts, entire, strict=True)
        ]
        weights = [weight for _, weight in parts]
        if self._spec.sequential:
            laid = [lay_regions(content, view, shared, [style], [1.0]) for style in styles]
        else:
            laid = [lay_regions(content, view, shared, styles, weights)]
        return [*laid], _words(shared)

    def _fit(
        self,
        part: StyleSource,
        settings: StylizeSettings,
        shared: SharedClusters,
        numbers: dict[Input, int],
        whole: FittedStyle,
    ) -> list[FittedStyle]:
        """Measure every region of a style, one or more pictures; `whole` stands in for what it lacks."""
        settings = settings.model_copy(update={"levels": part.levels or settings.levels})
        fitted: list[list[FittedStyle]] = [[] for _ in range(shared.count)]
        for item in part.sources:
            image, weight = self._read(item)
            tile = style_tile(image.shape[2], image.shape[3])
            with memory_guard(item):
                regions = fit_regions(
                    image,
                    self._views[item],
                    shared,
                    numbers[item],
                    self._model,
                    settings,
                    weight=weight,
                    tile=tile,
                )
            for own, region in zip(fitted, regions, strict=True):
                own += [region] if region else []
        return [reduce(FittedStyle.plus, own) if own else whole for own in fitted]

    def _read(self, item: Input) -> tuple[Tensor, Tensor | None]:
        picture, _ = read_visible(item, self._run)
        with memory_guard(item):
            return to_image(picture), to_weight(picture)


def _words(shared: SharedClusters) -> str:
    """Say which shares of the content take their look from which shares of the styles."""
    words = []
    for number, share in enumerate(shared.shares[0].tolist()):
        sources = [
            f"{part:.0%}" if alike else "all"
            for part, alike in zip(
                shared.shares[1:, number].tolist(), shared.alike[1:, number].tolist(), strict=True
            )
        ]
        words.append(f"{share:.0%} like {'/'.join(sources)} of the style")
    return ", ".join(words)
