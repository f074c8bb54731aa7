"""Fixtures of the trainings on stylised pictures."""

from __future__ import annotations

from helpers.stylised_runs import pictures, teacher

__all__ = ["pictures", "teacher"]
