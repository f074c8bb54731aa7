"""The pictures, and the pairs of content and style, that methods are compared on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from texsynth.errors import InputError, UsageError
from texsynth.jobs.inputs import Input
from texsynth.jobs.manifest import comma_separated, json_lines, text_of
from texsynth.paths import unreadable

T = TypeVar("T")

READERS = {".csv": comma_separated, ".jsonl": json_lines}


@dataclass(frozen=True)
class Pair:
    """A content and the style it gets."""

    content: Input
    style: Input

    def __str__(self) -> str:
        """Return the name of the pair in messages."""
        return f"{self.content} with {self.style}"


def crossed(contents: Sequence[Input], styles: Sequence[Input]) -> list[Pair]:
    """Every content with every style, ordered so that the first of them use as many of both as there are."""
    return [
        Pair(content, styles[(number + turn) % len(styles)])
        for turn in range(len(styles))
        for number, content in enumerate(contents)
    ]


def zipped(contents: Sequence[Input], styles: Sequence[Input]) -> list[Pair]:
    """The first content with the first style, and so on. UsageError for unequal numbers."""
    if len(contents) != len(styles):
        raise UsageError(
            f"--zip needs as many styles as contents, but there are {len(contents)} contents and "
            f"{len(styles)} styles, each file counted once; list the pairs with --pairs FILE"
        )
    return [Pair(content, style) for content, style in zip(contents, styles, strict=True)]


def listed(path: Path) -> list[Pair]:
    """The pairs in a CSV or JSON-lines file with the columns content and style.

    Files count from its folder. Raises UsageError, and InputError when it cannot be read.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"the file of pairs {path} must end with {' or '.join(READERS)}")
    _, entries = reader(path, text_of(path))
    if not entries:
        raise UsageError(f"{path} has no pairs; list at least one")
    pairs = []
    for entry in entries:
        for column, value in (("preset", entry.preset), ("output", entry.output)):
            if value is not None:
                raise UsageError(f"{entry.where}: pairs have no {column}; give content and style alone")
        assert entry.style is not None, "a pair has both"
        pairs.append(Pair(entry.picture, entry.style))
    return pairs


def choose_pairs(pairs: Sequence[Pair], *, held_out: bool, limit: int | None) -> list[Pair]:
    """At most `limit` pairs, each once, and only of files that no training has seen when `held_out`.

    Those of one content come together. Raises InputError when none is left.
    """
    distinct = list(dict.fromkeys(pairs))
    chosen = choose(
        distinct, lambda p: [p.content.path, p.style.path], "pairs", held_out=held_out, limit=limit
    )
    contents = list(dict.fromkeys(pair.content for pair in pairs))
    styles = list(dict.fromkeys(pair.style for pair in pairs))
    return sorted(chosen, key=lambda pair: (contents.index(pair.content), styles.index(pair.style)))


def choose(
    items: Sequence[T], paths: Callable[[T], list[Path]], what: str, *, held_out: bool, limit: int | None
) -> list[T]:
    """At most `limit` items, with all `paths` held out from training if `held_out`. InputError for none."""
    if held_out:
        # Not before it is needed: what is wrong with the inputs is said without torch.
        from texsynth.training.data import is_held_out

        kept = [item for item in items if all(map(is_held_out, paths(item)))]
        if not kept:
            raise InputError(f"none of {len(items)} {what} is held out from training; drop --held-out")
        items = kept
    return list(items)[:limit]


def check_files(pairs: Sequence[Pair]) -> None:
    """InputError for what is not there, or is no picture that can be read again: a card, standard input."""
    for item in dict.fromkeys(item for pair in pairs for item in (pair.content, pair.style)):
        if item.piped is not None:
            raise InputError("standard input cannot be compared; give the name of a file")
        if item.is_card:
            raise InputError(f"{item} is a card, which results cannot be compared with; give the picture")
        if reason := unreadable(item.path):
            raise InputError(f"{item} {reason}; correct its name")


def distinct_name(item: Input, others: Sequence[Input]) -> str:
    """The shortest name of `item` that no other file of `others` has."""
    shared = any(other.key == item.key and other.path != item.path for other in others)
    return str(item.path) if shared else item.key
