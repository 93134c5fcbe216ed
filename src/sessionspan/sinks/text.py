"""What our console output has in common: harmless text, colour where it is wanted, writes that never raise."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any, Final, TextIO

from sessionspan.redaction import clean

# SGR codes (ECMA-48 8.3.117): the terminal's own palette, so they suit dark and light themes.
STYLES: Final = {
    "": "",
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
LIMIT: Final = 1_000  # bytes of one text on one line

_writing = threading.Lock()  # two sinks of one process do not write into each other's lines


def harmless(value: object, limit: int = LIMIT) -> str:
    """*value* as text that cannot move the cursor, start a line, or reverse the text after it.

    Peers choose these texts: ESC, CR, LF, bidi overrides and all else that does not print are escaped.
    """
    return clean(str(value), limit)


def wants_colour(stream: Any, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether *stream* gets colour: a terminal does; NO_COLOR and FORCE_COLOR, when not empty, decide."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return environ.get("TERM") != "dumb" and is_terminal(stream)


def is_terminal(stream: Any) -> bool:
    """Whether *stream* is a terminal; one that is closed is none."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError, OSError):
        return False


def paint(text: str, style: str, colour: bool) -> str:
    """*text* in *style*, when *colour* is on."""
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if colour and style else text


def encoding_of(stream: Any) -> str:
    """The encoding of *stream*; UTF-8 when it does not say."""
    return getattr(stream, "encoding", None) or "utf-8"


def write(stream: TextIO | None, text: str) -> bool:
    """Write *text* to *stream* and flush it; False when that is not possible (closed, broken pipe, full disk)."""
    if stream is None:  # pythonw and some daemons have no standard streams
        return False
    encoding = encoding_of(stream)
    try:
        with _writing:
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
    except (OSError, ValueError, LookupError):
        return False
    return True
