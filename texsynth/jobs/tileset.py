"""Corner tiles of textures in files, as an operation: `texsynth tileset`."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from texsynth.config.expand_rules import check_exemplar_size, check_output_size, check_same_size
from texsynth.config.map_kinds import MapKind
from texsynth.config.records import Record, Sibling, Source, TilesetRecord
from texsynth.images import Picture
from texsynth.images.files import as_text
from texsynth.images.tensors import to_image, to_picture, to_weight
from texsynth.jobs.files import JobResult, OutputFile, memory_guard, read_input
from texsynth.jobs.materials import sibling_kind
from texsynth.jobs.plain import PlainOperation, recorded_file, versions
from texsynth.jobs.sibling_values import map_picture, map_values
from texsynth.jobs.tileset_inputs import LAYOUT, TilesetJob
from texsynth.pipelines.progress import OnStep
from texsynth.pipelines.tileset import TileSet, assemble, make_tileset, tile_corners
from texsynth.synthesis.exemplar import Exemplar

SAMPLE = 6, 8  # Rows and columns of the sample of a layout, in tiles

COLOURS = ("#e0a030", "#3070c0")  # In which an editor shows the two kinds of corners


@dataclass(frozen=True)
class TilesetInputs:
    """The pictures of a job, their sources, and what the values of the siblings are."""

    pictures: tuple[Picture, ...]  # The exemplar first
    sources: tuple[Source, ...]
    kinds: tuple[MapKind, ...]


class MakeTileset(PlainOperation[TilesetJob]):
    """Makes 16 tiles of a texture that lay out any area without a repetition."""

    def records(self, job: TilesetJob) -> list[tuple[Path, Record]]:
        """Say what each of the pictures of `job` will carry."""
        loaded = self.load(job)
        return [(path, self._record(job, loaded, part)) for part, path in job.parts]

    def load(self, job: TilesetJob) -> TilesetInputs:
        """Read an exemplar and its maps. Raises InputError."""
        read = [read_input(job.picture, self.run, own_space=True)]
        read += [read_input(item, self.run, as_data=True) for item in job.siblings]
        pictures, sources = (tuple(each) for each in zip(*read, strict=True))
        right = pictures[0].width, pictures[0].height
        check_exemplar_size(*right, str(job.picture))
        if job.settings.size:
            wide, high = (4 * side for side in job.settings.size)
            check_output_size(wide, high, self.run.max_pixels, job.picture)
        for item, picture in zip(job.siblings, pictures[1:], strict=True):
            check_same_size(item, (picture.width, picture.height), job.picture, right)
        known = job.declared or (None,) * len(job.siblings)
        kinds = tuple(sibling_kind(*each) for each in zip(job.siblings, pictures[1:], known, strict=True))
        return TilesetInputs(pictures, sources, kinds)

    def compute(self, job: TilesetJob, loaded: TilesetInputs, on_step: OnStep) -> JobResult:
        """Make the tiles of one exemplar, a sample of a layout, and the index."""
        rng = torch.Generator().manual_seed(job.seed(self.run.seed))
        with memory_guard(job.picture, "choose a smaller --size"):
            tiles = make_tileset(_exemplar(loaded), job.settings, rng, on_step)
            colours = torch.randint(2, (SAMPLE[0] + 1, SAMPLE[1] + 1), generator=rng)
            files = [
                recorded_file(
                    self._picture(tiles, colours, part, loaded), path, self._record(job, loaded, part)
                )
                for part, path in job.parts
            ]
        if job.index:
            files.append(OutputFile(index_text(job, tiles).encode(), job.index, ""))
        warnings = tuple(warning for picture in loaded.pictures for warning in picture.warnings)
        facts = {"tile": f"{tiles.size[1]}x{tiles.size[0]}"}
        facts |= {"index": str(job.index)} if job.index else {}
        return JobResult(tuple(files), warnings + tiles.notes, facts)

    def _picture(self, tiles: TileSet, colours: Tensor, part: int, loaded: TilesetInputs) -> Picture:
        if part > 0:
            return map_picture(tiles.siblings[part - 1], loaded.pictures[part])
        exemplar = loaded.pictures[0]
        image = assemble(tiles.image[0], colours)[None] if part == LAYOUT else tiles.image
        if exemplar.grey:
            image = image.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        picture = to_picture(image, None, self.run.bit_depth or exemplar.bit_depth)
        is_half = exemplar.is_half and self.run.bit_depth is None
        return replace(picture, grey=exemplar.grey, profile=exemplar.profile, is_half=is_half)

    def _record(self, job: TilesetJob, loaded: TilesetInputs, part: int) -> TilesetRecord:
        siblings = zip(loaded.sources[1:], job.names, loaded.kinds, strict=True)
        return TilesetRecord(
            exemplar=loaded.sources[0],
            siblings=tuple(
                Sibling(**source.model_dump(), output=as_text(name), kind=kind)
                for source, name, kind in siblings
            ),
            key=as_text(job.key),
            part=part,
            tileset=job.settings,
            run=self.recorded_run,
            versions=versions(),
        )


def _exemplar(loaded: TilesetInputs) -> Exemplar:
    weight = to_weight(loaded.pictures[0])
    normals = tuple(n for n, kind in enumerate(loaded.kinds) if kind in ("opengl", "directx"))
    return Exemplar(
        to_image(loaded.pictures[0]),
        tuple(map_values(picture) for picture in loaded.pictures[1:]),
        None if weight is None else (weight > 0.5).float(),
        normals=normals,
        green_down=tuple(n for n in normals if loaded.kinds[n] == "directx"),
    )


def index_text(job: TilesetJob, tiles: TileSet) -> str:
    """Describe the tiles in the format of the map editor Tiled, version 1.10, which engines read.

    Its corners of a tile are in the order top, top right, right, and so on; 0 stands for none.
    """
    height, width = tiles.size
    wang = []
    for number in range(16):
        upper_left, upper_right, lower_right, lower_left = (1 + colour for colour in tile_corners(number))
        wang.append(
            {"tileid": number, "wangid": [0, upper_right, 0, lower_right, 0, lower_left, 0, upper_left]}
        )
    colours = [
        {"name": f"corner {number}", "color": colour, "probability": 1, "tile": -1}
        for number, colour in enumerate(COLOURS)
    ]
    maps = [{"name": path.stem, "type": "file", "value": path.name} for path in job.beside]
    tree = {
        "type": "tileset",
        "version": "1.10",
        "name": job.output.stem,
        "image": job.output.name,
        "imagewidth": 4 * width,
        "imageheight": 4 * height,
        "tilewidth": width,
        "tileheight": height,
        "tilecount": 16,
        "columns": 4,
        "margin": 0,
        "spacing": 0,
        "properties": maps,
        "wangsets": [{"name": "corners", "type": "corner", "tile": -1, "colors": colours, "wangtiles": wang}],
    }
    return json.dumps(tree, indent=1) + "\n"
