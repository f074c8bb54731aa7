"""Many stylized files with many styles: one model, one style in memory at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from texsynth.batch.files import recorded_path
from texsynth.batch.machine import decided
from texsynth.batch.plan import Input, StyledJob
from texsynth.batch.resume import is_finished
from texsynth.batch.run import Written
from texsynth.batch.styles import measured
from texsynth.batch.work import Prepared, record_of, stylize_file
from texsynth.errors import OutputError
from texsynth.models.registry import load_model
from texsynth.pipelines.progress import OnStep
from texsynth.records import Source, StylizeRecord
from texsynth.settings import RunSettings


class Styler:
    """A model, and the style of the last job fitted with it."""

    def __init__(self, run: RunSettings, note: Callable[[str], None]) -> None:
        """note: told about every style that something is odd about. Raises ModelError, UsageError."""
        self.run, device, dtype = decided(run)
        self.model = load_model(run.model, device, dtype)
        self._note = note
        self._key: tuple[Input, str] | None = None
        self._prepared: Prepared | None = None
        self._sources: dict[Input, Source] = {}

    def do(
        self, job: StyledJob, *, force: bool, resume: bool, on_step: OnStep | None = None
    ) -> Written | None:
        """Make the output of `job`; None when `resume` finds it made. force: replace what is not."""
        if resume:
            try:
                if is_finished(job.output, self._record(job)):
                    return None
            except OutputError:
                if not force:
                    raise
        return stylize_file(job, self._fitted(job), force=force, on_step=on_step)

    def _record(self, job: StyledJob) -> StylizeRecord:
        # Contents come and go, a style serves many jobs in turn.
        if job.style not in self._sources:
            self._sources[job.style] = _source(job.style)
        style = self._sources[job.style]
        return record_of(job, _source(job.picture), style, job.settings, self.run, self.model)

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


def _source(item: Input) -> Source:
    return Source(path=recorded_path(item), sha256=hashlib.sha256(item.read()).hexdigest())
