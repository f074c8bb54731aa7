"""JSON from files and from the network: plain data, or a ValueError that says what is wrong."""

import json
import math
import re
from typing import Any, NoReturn

MAX_DEPTH = 32

SHOWN = 60  # Letters of a value in a message


def parse(text: str | bytes, *, is_text: bool = True) -> Any:  # noqa: ANN401 (JSON)
    """Return the data in the JSON `text`. Raises ValueError alone.

    Refused are keys that are given twice, numbers that are too large or not finite, more than 32 levels, and
    with `is_text` strings that are no text; names of files need not be.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        data = json.loads(
            text, object_pairs_hook=_unrepeated, parse_constant=_refuse, parse_float=_finite, parse_int=_whole
        )
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} in column {error.colno}") from None
    except RecursionError:
        raise ValueError(f"more than {MAX_DEPTH} levels are nested") from None
    _check(data, is_text=is_text)
    return data


def fault_of_text(text: str) -> str:
    """Say what no text has and `text` does, '' for text."""
    if "\0" in text:
        return f"{shown(text)} has a NUL character"
    if not text.isascii() and re.search("[\ud800-\udfff]", text):
        return f"{shown(text)} has half a character"
    return ""


def shown(value: object) -> str:
    """Return a value as messages show it: what is long is cut."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _check(data: object, *, is_text: bool) -> None:
    """Raise ValueError for data that are nested too deep or hold what is no text."""
    level, depth = [data], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} levels are nested")
        inside: list[object] = []
        for value in level:
            if isinstance(value, str):
                if is_text and (fault := fault_of_text(value)):
                    raise ValueError(fault)
            elif isinstance(value, dict):
                inside += [*value.keys(), *value.values()]
            elif isinstance(value, list):
                inside += value
        level = inside


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        keys = set[str]()
        again = next(key for key, _ in pairs if key in keys or keys.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {shown(again)} is given twice")
    return data


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:SHOWN]} is too large")
    return number


def _whole(text: str) -> int:
    number = int(text) if len(text) <= 21 else 1 << 64
    if abs(number) >= 1 << 64:
        raise ValueError(f"the number {text[:SHOWN]} is too large")
    return number
