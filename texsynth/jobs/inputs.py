"""Which pictures go in and where each result goes, settled before any work."""

import glob
import hashlib
import os
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

from texsynth.errors import InputError, UsageError
from texsynth.images import (
    LARGEST_FILE,
    OUTPUT_SUFFIXES,
    SUFFIXES,
    Picture,
    ResultFormat,
    output_format,
    probe,
    read_bytes,
)
from texsynth.images.formats import BY_SUFFIX
from texsynth.paths import exists, is_folder, listing, real, why

PIPE = Path("-")  # Standard input or output

CARD_SUFFIX = ".card"  # Files with the moments of a style instead of its picture


@dataclass(frozen=True)
class Input:
    """A picture to read. key: its path relative to the folder that was named, which seeds it."""

    path: Path
    key: str
    piped: bytes | None = None  # Content of standard input
    picture: Picture | None = field(default=None, compare=False, repr=False)
    """The decoded picture, where there is no file; `path` is then a name that no other input has."""

    def read(self, limit: int = LARGEST_FILE) -> bytes:
        """Return the bytes of the file, at most `limit`, of standard input, or of the pixels in memory."""
        if self.picture is not None:
            planes = (self.picture.rgb, self.picture.alpha)
            return b"".join(plane.tobytes() for plane in planes if plane is not None)
        return read_bytes(self.path, limit=limit) if self.piped is None else self.piped

    @property
    def is_card(self) -> bool:
        """True when the name says that this is a style card."""
        return self.piped is None and self.path.suffix.lower() == CARD_SUFFIX

    @property
    def is_file(self) -> bool:
        """True for a file on disk, False for standard input and pictures in memory."""
        return self.piped is None and self.picture is None

    @property
    def source(self) -> Path | bytes:
        """The file or the bytes whose header can be probed without reading it all."""
        return self.path if self.is_file else self.read()

    @property
    def stem(self) -> str:
        """The name for outputs."""
        return self.path.stem if self.piped is None else "stdin"

    def result_suffix(self, result_format: ResultFormat, *, exact: bool = False) -> str:
        """Return how the name of a result ends, like `.png`. exact: every pixel counts."""
        source, is_float = BY_SUFFIX.get(self.path.suffix.lower()), False
        if source is not None and source.float_follows and self.is_file:
            # Of a file that cannot be read there is no result.
            with suppress(InputError):
                is_float = probe(self.path, max_pixels=sys.maxsize, frame=0).is_float
        return result_format.suffix(self.path.name, exact=exact, is_float=is_float)

    def __str__(self) -> str:
        """Return the name that messages use."""
        return str(self.path) if self.piped is None else "standard input"


@dataclass(frozen=True)
class Job:
    """One picture and the file its result goes to."""

    picture: Input
    output: Path

    role: ClassVar[str] = "content"  # The word of the command for `picture`

    @property
    def inputs(self) -> tuple[Input, ...]:
        """All files that are read."""
        return (self.picture,)

    @property
    def overlays(self) -> tuple[Input, ...]:
        """Those among them that lie over the picture, and must have its proportions."""
        return ()

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that are written, PIPE among them."""
        return (self.output,)

    @property
    def tables(self) -> tuple[Path, ...]:
        """All files that are written besides pictures."""
        return ()

    @property
    def to_pipe(self) -> bool:
        """True when the result goes to standard output."""
        return self.output == PIPE

    @property
    def facts(self) -> dict[str, str]:
        """Names and values that tell it from the other jobs of a run."""
        return {}

    @property
    def block(self) -> object:
        """Equal for jobs that share work, and come one after the other; None for a job on its own."""
        return None


@dataclass(frozen=True)
class InputJob(Job):
    """A picture that is read, and no file is made of it."""

    output: Path = PIPE

    role: ClassVar[str] = "path"

    @property
    def to_pipe(self) -> bool:
        """False: the answer is no picture."""
        return False


@dataclass(frozen=True)
class QueryJob(InputJob):
    """A picture that others are compared with."""

    role: ClassVar[str] = "query"


J = TypeVar("J", bound=Job)


def file_seed(seed: int, key: str) -> int:
    """The seed of one picture: the same alone or in a batch, on any machine."""
    digest = hashlib.sha256(f"{seed}\0{key}".encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def find_inputs(
    arguments: Sequence[str],
    *,
    recursive: bool,
    piped: bytes | None = None,
    suffixes: Collection[str] = SUFFIXES,
    deeper: str = "--recursive",
) -> list[Input]:
    """Files, the pictures of folders, and the matches of glob patterns, each once and in the given order.

    piped: the content of standard input, for `-`. suffixes: of the files that folders are searched for.
    deeper: how messages say to search folders inside folders. Raises InputError for a folder or pattern
    without pictures.
    """
    inputs: dict[str, Input] = {}
    hint = "" if recursive else f"; use {deeper} to search folders inside it"
    for argument in arguments:
        for item in _expand(argument, recursive=recursive, piped=piped, suffixes=suffixes, hint=hint):
            inputs.setdefault(real(item.path), item)
    return list(inputs.values())


def find_input(argument: str, piped: bytes | None = None) -> Input:
    """Return the one picture that `argument` names. Raises UsageError for a folder or several files."""
    inputs = find_inputs([argument], recursive=False, piped=piped)
    if len(inputs) != 1 or is_folder(Path(argument)):
        raise UsageError(f"{argument!r} is a folder or several files; give one picture")
    return inputs[0]


def destinations(
    inputs: Sequence[Input], names: Sequence[str], output: str | None, *, role: str = "contents"
) -> list[Path]:
    """Return the file for the result of every input.

    names: file names, one per input. output: None for these names in the current folder, `-`, a file, or a
    folder when it exists, ends with a slash or when there are several inputs. role: what messages call the
    inputs. Raises UsageError.
    """
    if output == "-":
        if len(inputs) > 1:
            raise UsageError(f"{len(inputs)} {role} cannot share standard output; use -o FOLDER")
        return [PIPE]
    if output == "":
        raise UsageError("the name of the output is empty; give a file or a folder")
    path = Path(output or ".")
    into_folder = output is None or is_folder(path) or output.endswith(("/", os.sep))
    if not into_folder and len(inputs) == 1:
        output_format(path)
        return [path]
    if not into_folder and path.suffix.lower() in OUTPUT_SUFFIXES:
        raise UsageError(f"{len(inputs)} {role} cannot share the output {path}; use -o FOLDER")
    # Below an output folder the inputs keep the folders they were found in.
    folders = [path if output is None else path / Path(item.key).parent for item in inputs]
    return [folder / name for folder, name in zip(folders, names, strict=True)]


def _expand(
    argument: str, *, recursive: bool, piped: bytes | None, suffixes: Collection[str], hint: str
) -> list[Input]:
    if not argument:
        raise UsageError("the name of an input is empty; give a picture, a folder or a pattern")
    path = Path(argument)
    if path == PIPE:
        return [Input(PIPE, "-", piped or b"")]
    if is_folder(path):
        everything, _, refused = listing(path, recursive=recursive)
        # A link to nothing, or a pipe, is an input that fails, and not one that nobody misses.
        files = [file for file in everything if file.suffix.lower() in suffixes]
        pictures = [Input(file, file.relative_to(path).as_posix()) for file in files]
        if not pictures and refused:
            raise InputError("the folder {} cannot be read: {}".format(*refused[0]))
        if not pictures:
            raise InputError(f"there are no pictures in the folder {path}{hint}")
        # So is a folder that cannot be searched; its key is that of no picture that could be read.
        closed = [Input(folder, (folder.relative_to(path) / folder.name).as_posix()) for folder, _ in refused]
        return sorted([*pictures, *closed], key=lambda item: item.path)
    if glob.has_magic(argument) and not exists(path):
        try:
            names = sorted(glob.glob(argument, recursive=True))
        except (OSError, ValueError) as error:
            raise InputError(f"no files can be looked for as {argument!r}: {why(error)}") from None
        matches = [path for path in map(Path, names) if not is_folder(path)]
        if not matches:
            raise InputError(f"no file matches {argument!r}")
        return [Input(p, p.name) for p in matches]
    return [Input(path, path.name)]


def grouped(jobs: Sequence[J]) -> list[J]:
    """Put jobs of one command, style and settings together; otherwise in the given order."""
    first: dict[object, int] = {}

    def order(thing: object) -> int:
        return first.setdefault(thing, len(first))

    def key(job: J) -> tuple[int, int, int]:
        settings = getattr(job, "settings", None)
        return (
            order(type(job)),
            order(getattr(job, "spec", None)),
            order(settings and settings.model_dump_json()),
        )

    return sorted(jobs, key=key)
