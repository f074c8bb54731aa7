"""What an evaluation finds, whatever it compares: what each method made of each subject, or its error."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from texsynth import images
from texsynth.config import presets
from texsynth.config.settings import RunSettings, Settings
from texsynth.jobs.outcomes import ALL_FAILED, INTERRUPTED, PARTLY_FAILED

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


S = TypeVar("S", bound="DataclassInstance")
"""The measures of one result."""


class Candidate(Protocol):
    """A method that is compared."""

    @property
    def name(self) -> str:
        """What it is called everywhere."""

    @property
    def description(self) -> str:
        """A sentence for the page."""

    @property
    def settings(self) -> Settings | None:
        """None for a baseline, which has none."""


@dataclass(frozen=True)
class Shown:
    """A picture as the page shows it. width, height: of it, in pixels."""

    data: bytes
    width: int
    height: int
    size: tuple[int, int]
    """Width and height of the picture itself."""
    kind: str = "png"
    """Or jpeg."""

    @classmethod
    def whole(cls, picture: images.Picture) -> Shown:
        """All of `picture`, exactly."""
        data, _ = images.encode(picture, "PNG")
        return cls(data, picture.width, picture.height, (picture.width, picture.height))

    @classmethod
    def reduced(cls, picture: images.Picture, side: int) -> Shown:
        """`picture` as JPEG of `side` pixels at most."""
        scale = min(1.0, side / max(picture.width, picture.height))
        data, width, height = images.jpeg_thumbnail(picture, scale)
        return cls(data, width, height, (picture.width, picture.height), "jpeg")


@dataclass(frozen=True)
class Original:
    """A picture that methods start from. label: what it is. notes: lines below it."""

    label: str
    shown: Shown
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell(Generic[S]):
    """What one method made of one subject: picture and scores, or an error."""

    method: str
    seconds: float | None = None
    """To make it; None for what nobody made."""
    shown: Shown | None = None
    scores: S | None = None
    error: str = ""
    exit_code: int = 0


@dataclass
class Subject(ABC, Generic[S]):
    """Something that every method is tried on."""

    name: str
    cells: list[Cell[S]] = field(default_factory=list)
    error: str = ""
    """Why it could not be used."""
    exit_code: int = 0

    @abstractmethod
    def originals(self) -> Sequence[Original]:
        """The pictures it consists of; none when it could not be used."""

    @abstractmethod
    def facts(self) -> dict[str, object]:
        """What the table says of it besides name, error and results."""


B = TypeVar("B", bound=Subject[Any])


@dataclass
class Evaluation(ABC, Generic[B]):
    """Everything an evaluation found; each kind says what only it knows."""

    command: ClassVar[str]
    """As it is typed after the program's name."""
    word: ClassVar[str]
    """What a subject is called; its plural ends with s."""

    subjects: list[B] = field(default_factory=list, kw_only=True)
    interrupted: bool = field(default=False, kw_only=True)

    @property
    @abstractmethod
    def candidates(self) -> Sequence[Candidate]:
        """What is compared, in order."""

    @property
    @abstractmethod
    def run(self) -> RunSettings:
        """With every `auto` decided."""

    @abstractmethod
    def asked(self) -> Mapping[str, object]:
        """What the table says of the plan, besides methods and machine."""

    @abstractmethod
    def summary(self) -> Sequence[Mapping[str, object]]:
        """For the table, one for each method."""

    @abstractmethod
    def layout(self) -> Layout:
        """What the page says besides pictures and figures of single results."""

    def found(self) -> Mapping[str, object]:
        """What the table says besides summaries and single results."""
        return {}

    def described(self, candidate: Candidate) -> dict[str, object]:
        """What the table says of a method."""
        settings = candidate.settings
        return {"description": candidate.description, "settings": settings and presets.as_tree(settings)}

    @property
    def methods(self) -> list[str]:
        """Names of all that has results, in order."""
        return [candidate.name for candidate in self.candidates]

    @property
    def exit_code(self) -> int:
        """As of a batch: 3 when something failed, the reason's own code when everything did."""
        if self.interrupted:
            return INTERRUPTED
        tried = {candidate.name for candidate in self.candidates}
        codes = [cell.exit_code for s in self.subjects for cell in s.cells if cell.method in tried]
        codes += [s.exit_code for s in self.subjects if s.error]
        if not any(codes):
            return 0
        if not all(codes):
            return PARTLY_FAILED
        return codes[0] if len(set(codes)) == 1 else ALL_FAILED

    def failures(self, method: str) -> int:
        """On how many subjects a method failed."""
        return sum(cell.method == method and bool(cell.error) for s in self.subjects for cell in s.cells)


@dataclass(frozen=True)
class Marked:
    """A figure that is held against a limit. passed: None without one. limit: in words."""

    value: float | None
    passed: bool | None
    limit: str


@dataclass(frozen=True)
class Spread:
    """A figure and the interval it may lie in, where that is known."""

    value: float
    low: float | None
    high: float | None


Value = str | float | Marked | Spread | None
"""What a cell of a table holds; None is unknown."""


@dataclass(frozen=True)
class Table:
    """A table of the page. name: its anchor."""

    name: str
    title: str
    note: str
    head: Sequence[str]
    """Of all columns but the first, which is the method."""
    rows: Sequence[tuple[str, Sequence[Value]]]
    """Method and values."""


@dataclass(frozen=True)
class Layout:
    """All that the kinds of evaluations do not share."""

    facts: Sequence[str]
    tables: Sequence[Table]
    columns: Sequence[str]
    """Measures of single results; the seconds follow them."""
    hints: Mapping[str, str]
    """By the name of a column: what it means and which way is better."""
