"""Maps of surfaces from photographs in files, as an operation: `texsynth maps`."""

from dataclasses import replace
from pathlib import Path

import torch

from texsynth.config.expand_rules import check_exemplar_size
from texsynth.config.records import MapRole, MapsRecord, Record, Source
from texsynth.images import Picture
from texsynth.images.tensors import to_image, to_picture
from texsynth.jobs.files import JobResult, memory_guard, read_visible, source_of
from texsynth.jobs.map_inputs import MapsJob
from texsynth.jobs.plain import PlainOperation, recorded_file, versions
from texsynth.pipelines.maps import SurfaceMaps, surface_maps
from texsynth.pipelines.progress import OnStep

BIT_DEPTH = 16  # Of the maps, where none is asked for: 8 bits make stairs of slow slopes


class EstimateMaps(PlainOperation[MapsJob]):
    """Guesses height, normals, roughness and occlusion of the surface in a photograph."""

    def records(self, job: MapsJob) -> list[tuple[Path, Record]]:
        """Say what each of the files of `job` will carry."""
        source = source_of(job.picture)
        return [(path, self._record(job, source, role)) for role, path in job.parts]

    def load(self, job: MapsJob) -> tuple[Picture, Source]:
        """Read a picture. Raises InputError, also for one that is too small."""
        picture, source = read_visible(job.picture, self.run)
        check_exemplar_size(picture.width, picture.height, str(job.picture))
        return picture, source

    def compute(self, job: MapsJob, loaded: tuple[Picture, Source], on_step: OnStep) -> JobResult:
        """Make the maps of one picture."""
        picture, source = loaded
        with memory_guard(job.picture, "use a smaller picture"):
            maps = surface_maps(to_image(picture), job.settings, on_step)
            files = tuple(
                recorded_file(self._picture(maps, role), path, self._record(job, source, role))
                for role, path in job.parts
            )
        facts = {"tileable": "yes" if maps.tileable else "no", "depth_px": f"{maps.depth_px:.2f}"}
        return JobResult(files, picture.warnings, facts)

    def _picture(self, maps: SurfaceMaps, role: MapRole) -> Picture:
        values: torch.Tensor = getattr(maps, role)
        picture = to_picture(values.expand(-1, 3, -1, -1), None, self.run.bit_depth or BIT_DEPTH)
        return replace(picture, grey=values.shape[1] == 1, is_data=True)

    def _record(self, job: MapsJob, source: Source, role: MapRole) -> MapsRecord:
        return MapsRecord(
            picture=source,
            role=role,
            maps=job.settings,
            run=self.recorded_run,
            versions=versions(),
        )
