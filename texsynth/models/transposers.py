"""Transposers of all layouts, by name or by file."""

import torch

from texsynth.errors import ModelError, is_exhaustion
from texsynth.models.border_network import BorderNetwork
from texsynth.models.hub.catalog import locate
from texsynth.models.transposer_paper import TAPS, PaperTransposer
from texsynth.models.vgg import inference
from texsynth.models.weights import MISFITS, facts_of, part, read_checked

AnyTransposer = BorderNetwork | PaperTransposer

TAPS_TEXT = " ".join(map(str, TAPS))
"""The taps of the layout `paper`, as headers have them."""


def load_network(
    name: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[AnyTransposer, str]:
    """Load the network of a Transposer, in the cache or a file. dtype: of convolutions alone.

    Returns it and the SHA-256 of its file. Raises ModelError when it is missing, damaged, changed, no
    Transposer, or one with features at other scales.
    """
    path = locate(name)
    facts = facts_of(path)
    if facts.transposer is None:
        raise ModelError(f"{name} is a model of features, not a Transposer; give it as --model")
    taps = facts.provenance.get("taps", TAPS_TEXT)
    if facts.transposer == "paper" and taps != TAPS_TEXT:
        raise ModelError(
            f"{name} was trained for features at 1/{taps.replace(' ', ', 1/')} of the sides, not at "
            f"1/{TAPS_TEXT.replace(' ', ', 1/')}; train it again"
        )
    tensors, _, digest = read_checked(path)
    net: AnyTransposer
    try:
        if facts.transposer == "paper":
            net = PaperTransposer.from_state(tensors)
        else:
            net = BorderNetwork.from_state(part(tensors, "borders"))
    except MISFITS as error:
        if is_exhaustion(error):
            raise
        command = "train transposer" if facts.transposer == "paper" else "train borders"
        raise ModelError(
            f"{name} is no whole Transposer of layout {facts.transposer}; give a file of `texsynth {command}`"
        ) from error
    net.dtype = dtype
    return inference(net, device), digest
