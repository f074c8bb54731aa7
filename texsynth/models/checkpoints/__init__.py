"""Published style-transfer checkpoints as models of texsynth, recognised by what is in them."""

from texsynth.models.checkpoints.families import Converted, convert

__all__ = ["Converted", "convert"]
