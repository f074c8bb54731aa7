"""Text for terminals and pipes: nothing in a name steers a terminal, and no stream lacks a letter for it."""

from __future__ import annotations

import codecs
import json
import re
import sys
from io import TextIOWrapper

STEERING = (
    "\\x00-\\x1f\\x7f-\\x9f"  # Control characters, escape among them
    "\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ufeff"  # Ends of lines, turns of direction
    "\\ud800-\\udfff"  # Half characters, in which Python hides the bytes of a name that is not UTF-8
)

_STEERING = re.compile(f"[{STEERING}]")

SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

HIDDEN_BYTES = range(0xDC80, 0xDD00)


def printable(text: str) -> str:
    r"""Return one line of `text` with escapes like `\x1b` and `\u202e` for what is not to be seen.

    Bytes of a name that are not UTF-8 become such escapes, too.
    """
    return _STEERING.sub(_escape, text)


def as_json(fields: object) -> str:
    r"""Return a line of JSON, in ASCII where standard output is not UTF-8.

    A byte of a name that is not UTF-8 becomes a half character like `\udce9`, by which Python can open it.
    """
    line = json.dumps(fields, ensure_ascii=not _is_utf8(sys.stdout.encoding))
    return _STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


def prepare_streams() -> None:
    """Have letters that the encoding of a stream lacks escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def fits(text: str) -> bool:
    """Return whether standard output can take all letters of `text`."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code in HIDDEN_BYTES:
        code -= 0xDC00
    return SHORT.get(match[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _is_utf8(encoding: str | None) -> bool:
    try:
        return codecs.lookup(encoding or "ascii").name == "utf-8"
    except LookupError:
        return False
