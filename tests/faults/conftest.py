"""Fixtures of the tests that disturb runs."""

from __future__ import annotations

from helpers.fault_fixtures import place, whole

__all__ = ["place", "whole"]
