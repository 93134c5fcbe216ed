"""The tree sink: each session as a small tree, when it ends. ``OTEL_TRACES_EXPORTER=sessionspan_tree``.

A session takes at most `LINES` lines, whatever happened in it. It writes to stderr, for stdout belongs to the
program.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Final, TextIO

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from sessionspan import names
from sessionspan.cli.story import Line, Story, end, head, missing, plural, seconds
from sessionspan.guard import guard
from sessionspan.sinks.text import encoding_of, is_terminal, wants_colour, write

LINES: Final = 15  # with the empty one below it
_UNBOUNDED: Final = 120  # columns of a pipe or a file, which have no edge
_OUTCOMES: Final = {"ok": "green", "error": "red"}  # the others are yellow: not our side's failure


class TreeSink(SpanExporter):
    """Draws session spans to *out*, which is stderr unless given; other spans are not drawn."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Draw the sessions among *spans*; FAILURE when nobody can read them any more, never an exception."""
        out = self._out if self._out is not None else sys.stderr
        written = False
        with guard:
            sessions = [span for span in spans if names.SESSION_ID in (span.attributes or {})]
            written = not sessions or write(out, "".join(drawn(span, out) + "\n" for span in sessions))
        return SpanExportResult.SUCCESS if written else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is kept back."""
        return True

    def shutdown(self) -> None:
        """The stream is not ours to close."""


def drawn(span: ReadableSpan, stream: TextIO | None) -> str:
    """*span* as a tree of at most `LINES` lines, as *stream* can show it."""
    page = _Page(encoding_of(stream))
    console = _console(page, stream)
    unicode = page.encoding.lower().startswith("utf")
    tree = Tree(_headline(span, unicode), guide_style="dim")
    lines = Story(span).lines()
    if missing(span):
        lines.append(Line(span.end_time or 0, f"{plural(missing(span), 'event')} more are not on the span", "dim"))
    room = LINES - 3  # without the head, the end and the empty one
    if len(lines) > room:
        first, last = room // 2, room - room // 2 - 1
        left_out = Line(lines[first].at, f"... {len(lines) - first - last} more lines like these ...", "dim")
        lines = [*lines[:first], left_out, *lines[-last:]]
    for line in [*lines, end(span)]:
        tree.add(_row(line, span.start_time or 0, unicode))
    console.print(tree)
    return page.getvalue()


class _Page(io.StringIO):
    """Where rich draws to: it asks for the encoding, and draws in ASCII for one that is not UTF."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override] # StringIO has one too, always None
        """The encoding of the stream for which the page is drawn."""
        return self._encoding


def _console(page: _Page, stream: TextIO | None) -> Console:
    colour = wants_colour(stream)
    known = is_terminal(stream) or os.environ.get("COLUMNS", "").isdigit()
    return Console(
        file=page,
        width=None if known else _UNBOUNDED,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        legacy_windows=False,
        highlight=False,
        emoji=False,
        markup=False,
    )


def _headline(span: ReadableSpan, unicode: bool) -> Text:
    before, outcome, after = head(span)
    text = _line(unicode)
    text.append(f"{before}: ", "bold")
    text.append(outcome, f"bold {_OUTCOMES.get(outcome, 'yellow')}")
    text.append(f", {after}", "bold")
    return text


def _row(line: Line, start: int, unicode: bool) -> Text:
    text = _line(unicode)
    text.append(f"{seconds(line.at - start):>6}  ", "dim")
    text.append(line.text if unicode else line.text.replace(" · ", ", "), line.style)
    return text


def _line(unicode: bool) -> Text:
    """A text that is cut at the edge, for a wrapped one would be two lines."""
    return Text(no_wrap=True, overflow="ellipsis" if unicode else "crop")
