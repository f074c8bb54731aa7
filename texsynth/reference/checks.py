"""All checks of `texsynth doctor --gradients`."""

from __future__ import annotations

from texsynth.reference import formula_checks, layer_checks, program_checks

CHECKS = (*layer_checks.CHECKS, *formula_checks.CHECKS, *program_checks.CHECKS)
"""The formulas of the papers against torch, then the program's own parts against the formulas."""
