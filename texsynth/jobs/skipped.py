"""Files in searched folders whose formats are not read, so that nobody misses one in silence."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from texsynth.images import SUFFIXES
from texsynth.images.files import as_text
from texsynth.paths import is_folder, listing

MOST_NAMED = 5


def skipped_files(
    arguments: Sequence[str], *, recursive: bool, suffixes: Collection[str] = SUFFIXES
) -> Counter[str]:
    """Count the files that `find_inputs` leaves out of folders, by the ends of their names in lower case.

    Hidden files and the settings beside results do not count.
    """
    count = Counter[str]()
    for folder in {Path(argument) for argument in arguments if argument}:
        if not is_folder(folder):
            continue
        files = listing(folder, recursive=recursive).files
        names = {str(file) for file in files}
        for file in files:
            end = file.suffix.lower()
            beside = end == ".yaml" and str(file)[: -len(end)] in names
            if end not in suffixes and not beside and not file.name.startswith("."):
                count[end] += 1
    return count


def skipped_sentence(count: Counter[str]) -> str:
    """Say how many files were skipped, and of which kinds; '' for none."""
    total = count.total()
    if not total:
        return ""
    kinds = [as_text(end) or "no ending" for end, _ in count.most_common()]
    more = ", ..." if len(kinds) > MOST_NAMED else ""
    noun = "file of a format that is" if total == 1 else "files of formats that are"
    return f"skipped {total} {noun} not read ({', '.join(kinds[:MOST_NAMED])}{more})"
