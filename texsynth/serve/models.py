"""The network of the server, loaded once when it is first needed."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from texsynth.config.settings import RunSettings

if TYPE_CHECKING:
    from texsynth.models.registry import Model


class Models:
    """Loads the network of a run; any thread may ask for it."""

    def __init__(self, run: RunSettings) -> None:
        """run: names the model, the device and the number type."""
        self._run, self._lock = run, Lock()
        self._model: Model | None = None

    def load(self) -> Model:
        """Return the network. Raises UsageError, ModelError."""
        with self._lock:
            if self._model is None:
                from texsynth.jobs.operation import resolve_run_and_model

                self._model = resolve_run_and_model(self._run)[1]
            return self._model

    @property
    def device(self) -> str:
        """The device that computes, or what is asked for before it is known."""
        return self._run.device if self._model is None else str(self._model.device)
