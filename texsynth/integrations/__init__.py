"""Doors to texsynth from inside other programs."""
