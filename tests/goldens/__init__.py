"""Goldens: what the command line wrote before, compared with what it writes now."""
