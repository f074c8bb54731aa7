"""Text for terminals and pipes: nothing in a name steers a terminal, and no stream lacks a letter for it."""

from __future__ import annotations

import codecs
import json
import re
import sys
from io import TextIOWrapper

STEERING = (
    "\\x00-\\x08\\x0a-\\x1f\\x7f-\\x9f"  # Control characters, escape among them
    "\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ufeff"  # Ends of lines, turns of direction
    "\\ud800-\\udc9f\\udd00-\\udfff"  # Half characters, and bytes of names that steer some terminals
)

_STEERING = re.compile(f"[{STEERING}]")
_OTHER_BYTES = re.compile("[\\udca0-\\udcff]")
"""Half characters in which Python hides the bytes of a name that is not UTF-8."""

ERRORS = "texsynth"  # Our treatment of what a stream cannot encode

HIDDEN = 0xDC00  # Added to such a byte

SHORT = {"\n": "\\n", "\r": "\\r"}


def printable(text: str, *, keep_bytes: bool = False) -> str:
    r"""Return one line of `text` with escapes like `\x1b` and `\u202e` for what is not to be seen.

    keep_bytes: leave those of names that are not UTF-8, which become such escapes otherwise.
    """
    text = _STEERING.sub(_escape, text)
    return text if keep_bytes else _OTHER_BYTES.sub(_escape, text)


def for_output(text: str) -> str:
    """Return one line for standard output: in a pipe, names keep the bytes by which they can be opened."""
    return printable(text, keep_bytes=not sys.stdout.isatty())


def as_json(fields: object) -> str:
    r"""Return a line of JSON, in ASCII where standard output is not UTF-8.

    A byte of a name that is not UTF-8 becomes a half character like `\udce9`, by which Python can open it.
    """
    line = json.dumps(fields, ensure_ascii=not _is_utf8(sys.stdout.encoding))
    for pattern in (_STEERING, _OTHER_BYTES):
        line = pattern.sub(lambda match: f"\\u{ord(match[0]):04x}", line)
    return line


def prepare_streams() -> None:
    """Have letters that the encoding of a stream lacks escaped, and bytes of names written as they are."""
    codecs.register_error(ERRORS, _encoded)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=ERRORS)


def fits(text: str) -> bool:
    """Return whether standard output can take all letters of `text`."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if HIDDEN + 0x80 <= code < HIDDEN + 0x100:
        code -= HIDDEN
    return SHORT.get(match[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _encoded(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    code = ord(error.object[error.start])
    if HIDDEN + 0x80 <= code < HIDDEN + 0x100:
        return bytes([code - HIDDEN]), error.start + 1
    first = UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    return codecs.backslashreplace_errors(first)


def _is_utf8(encoding: str | None) -> bool:
    try:
        return codecs.lookup(encoding or "ascii").name == "utf-8"
    except LookupError:
        return False
