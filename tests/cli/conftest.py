"""Fixtures of the tests that run the command line."""

from __future__ import annotations

from helpers.texture_fixtures import place, quick

__all__ = ["place", "quick"]
