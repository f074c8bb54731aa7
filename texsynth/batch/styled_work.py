"""Many stylized files with many styles: one model, one style in memory at a time."""

from __future__ import annotations

from collections.abc import Callable

from texsynth.batch.executors import Stages
from texsynth.batch.files import Made, source_of
from texsynth.batch.machine import equipped
from texsynth.batch.originals import Content, load_content
from texsynth.batch.plan import Input, StyledJob
from texsynth.batch.resume import unfinished, written_once
from texsynth.batch.run import Written
from texsynth.batch.styles import measured
from texsynth.batch.work import Prepared, record_of, stylize_content
from texsynth.pipelines.progress import OnStep
from texsynth.records import Source, StylizeRecord
from texsynth.settings import RunSettings


class Styler:
    """A model, and the style of the last job fitted with it."""

    def __init__(self, run: RunSettings, note: Callable[[str], None]) -> None:
        """note: told about every style that something is odd about. Raises ModelError, UsageError."""
        self.run, self.model = equipped(run)
        self._note = note
        self._key: tuple[Input, str] | None = None
        self._prepared: Prepared | None = None
        self._sources: dict[Input, Source] = {}
        """Of styles; contents come and go, a style serves many jobs in turn."""

    def stages(self, *, force: bool, resume: bool, suffix: str = ".png") -> Stages[StyledJob]:
        """How jobs are done.

        resume: leave outputs that are made. force: replace what is not. suffix: format of standard output.
        """

        def load(job: StyledJob) -> Content | None:
            if resume and not unfinished([(job.output, self._record(job))], force=force):
                return None
            return load_content(job, self.model, job.settings, self.run)

        def make(job: StyledJob, content: Content, on_step: OnStep) -> Made:
            return stylize_content(job, content, self._fitted(job), on_step)

        def write(_: StyledJob, made: Made) -> Written | None:
            return written_once(made, quality=self.run.quality, force=force, resume=resume, suffix=suffix)

        return Stages(load, make, write)

    def _record(self, job: StyledJob) -> StylizeRecord:
        if job.style not in self._sources:
            self._sources[job.style] = source_of(job.style)
        style = self._sources[job.style]
        return record_of(job, source_of(job.picture), style, job.settings, self.run, self.model)

    def _fitted(self, job: StyledJob) -> Prepared:
        key = job.style, job.settings.model_dump_json()
        if self._key != key:
            found = measured(job.style, self.model, job.settings, self.run)
            for warning in found.warnings:
                self._note(warning)
            self._prepared = Prepared(self.model, found.style, found.source, job.settings, self.run)
            self._key = key
        assert self._prepared is not None
        return self._prepared
