"""The pictures that arguments name, and a line about the files in their folders that are none."""

from collections.abc import Sequence

from texsynth.cli.run import Setup
from texsynth.jobs.inputs import Input, find_inputs
from texsynth.jobs.skipped import skipped_files, skipped_sentence


def search(
    setup: Setup, arguments: Sequence[str], *, recursive: bool, piped: bytes | None = None
) -> list[Input]:
    """Return what `find_inputs` does, and say what folders have besides. Raises InputError."""
    inputs = find_inputs(arguments, recursive=recursive, piped=piped)
    skipped = skipped_files(arguments, recursive=recursive)
    if sentence := skipped_sentence(skipped):
        setup.left_out["unsupported"] += skipped.total()
        setup.screen.note(sentence)
    return inputs
