"""The console sink: every event of every session on a line of its own, as it happens.

``OTEL_LOGS_EXPORTER=sessionspan_console``, or ``sessionspan run --console``. It writes to stderr, for stdout
belongs to the program: time, session, protocol, client, user, and then what happened.
"""

from __future__ import annotations

import sys
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TextIO

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

from sessionspan import names
from sessionspan.events import SessionEnd
from sessionspan.guard import guard
from sessionspan.sinks.text import harmless, paint, wants_colour, write

# Each session has one of these, so that the eye can follow it between others.
_SESSION_COLOURS: Final = ("cyan", "magenta", "blue", "green")
_REMEMBERED: Final = 1_000  # sessions
_TRACEBACK: Final = 20  # lines, the last ones
_WARN, _ERROR = 13, 17  # the lowest severity numbers of their kind


class _Who(NamedTuple):
    """Whose line it is, as on the line."""

    session: str = "-"
    protocol: str = "-"
    client: str = "-"
    user: str = "-"


_NOBODY: Final = _Who()


class ConsoleSink(LogRecordExporter):
    """Prints log records to *out*, which is stderr unless given."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out
        # By trace id: the application's own log records know their trace and not their session.
        self._seen: OrderedDict[int, _Who] = OrderedDict()

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Print *batch*; FAILURE when nobody can read it any more, never an exception."""
        out = self._out if self._out is not None else sys.stderr
        written = False
        with guard:
            colour = wants_colour(out)
            written = write(out, "".join(self._line(record, colour) + "\n" for record in batch))
        return LogRecordExportResult.SUCCESS if written else LogRecordExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is kept back."""
        return True

    def shutdown(self) -> None:
        """The stream is not ours to close."""

    def _line(self, record: ReadableLogRecord, colour: bool) -> str:
        log = record.log_record
        attributes: Mapping[str, Any] = log.attributes or {}
        who = self._who(log.event_name, log.trace_id or 0, attributes)
        severity = log.severity_number.value if log.severity_number is not None else 0
        text = harmless(log.body if log.body is not None else log.event_name or "")
        if log.event_name:
            happened = _painted_event(text, severity, colour)
        else:
            happened = paint(_plain(record, text, attributes), _alarm(severity), colour)
        session = zlib.crc32(who.session.encode()) % len(_SESSION_COLOURS)
        columns = (
            paint(_time(log.timestamp or log.observed_timestamp or 0), "dim", colour),
            paint(f"{who.session:<8}", _SESSION_COLOURS[session], colour and who is not _NOBODY),
            f"{who.protocol:<5}",
            f"{who.client:<15}",
            who.user,
            happened,
        )
        return " ".join(columns) + _traceback(attributes, colour)

    def _who(self, event: str | None, trace: int, attributes: Mapping[str, Any]) -> _Who:
        session = attributes.get(names.SESSION_ID) or attributes.get(names.PLAIN_SESSION_ID)
        if not session:
            return self._seen.get(trace, _NOBODY)
        who = _Who(
            harmless(session)[:8],
            _first(attributes, names.PROTOCOL_NAME, names.PLAIN_PROTOCOL).upper(),
            _first(attributes, names.CLIENT_ADDRESS, names.PLAIN_CLIENT_IP),
            _first(attributes, names.USER_NAME, names.PLAIN_USERNAME),
        )
        if event and trace:
            self._seen[trace] = who
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return who


def _first(attributes: Mapping[str, Any], *keys: str) -> str:
    """The first of *keys* that has a value, as text for the line."""
    for key in keys:
        if attributes.get(key):
            return harmless(attributes[key], 64)
    return "-"


def _time(nanoseconds: int) -> str:
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000)
    return f"{moment:%H:%M:%S}.{nanoseconds // 1_000_000 % 1000:03d}"


def _alarm(severity: int) -> str:
    return "red" if severity >= _ERROR else "yellow" if severity >= _WARN else ""


def _painted_event(text: str, severity: int, colour: bool) -> str:
    """A display line: its first word is the event's name; what is wrong is seen at once."""
    if _alarm(severity):
        return paint(text, _alarm(severity), colour)
    name, space, rest = text.partition(" ")
    if name == SessionEnd.name.removeprefix("sessionspan."):
        return paint(text, "bold", colour)
    return paint(name, "cyan", colour) + space + rest


def _traceback(attributes: Mapping[str, Any], colour: bool) -> str:
    """The traceback of a record, indented: OTel's logging handler keeps Python from printing it to stderr."""
    lines = str(attributes.get("exception.stacktrace") or "").splitlines()[-_TRACEBACK:]
    return "".join(paint(f"\n    {harmless(line)}", "dim", colour) for line in lines)


def _plain(record: ReadableLogRecord, text: str, attributes: Mapping[str, Any]) -> str:
    """A record of the application itself: its level, its logger, its message, and what was raised."""
    log = record.log_record
    level = log.severity_text or (log.severity_number.name if log.severity_number is not None else "-")
    logger = record.instrumentation_scope.name if record.instrumentation_scope is not None else ""
    line = f"{harmless(level, 16)} {harmless(logger, 80)}: {text}" if logger else f"{harmless(level, 16)} {text}"
    raised = attributes.get("exception.type")
    if raised:
        message = attributes.get("exception.message")
        line += f" ({harmless(raised, 80)}{f': {harmless(message, 200)}' if message else ''})"
    return line
