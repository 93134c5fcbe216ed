"""Which lines of Twisted's log may be exported: those of twisted.mail that do not quote what was said on the wire.

Twisted's log reaches OTel's handler when an application bridges it to stdlib logging (PythonLoggingObserver,
STDLibLogObserver), under a logger's name of its choice. twisted.mail logs exceptions whose text quotes the client:
a POP3 command that is none (a password that was sent at the wrong moment), an IMAP line that was not understood,
what a credentials checker raised. Those stay here; the application's own lines, and its own failures, go as ever.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from typing import Any, Final

from sessionspan.exported_logs import LogFilter
from sessionspan.settings import settings

# What twisted.mail says of clients: POP3, and the mail program.
_IDENTITY: Final = re.compile(
    r"""(?:New connection from |Connection from |b?['"]?Authenticated login for |Denied login attempt from )"""
)
_ENVELOPE: Final = re.compile(r"(?:Receiving message for delivery: |Queueing mail )")

# The files of a failure that came through a mail connection: the library's, and those of ours around it.
_MAIL: Final = re.compile(r"[/\\](?:twisted[/\\]mail|sessionspan|sessionspan_twisted)[/\\][^/\\]*\.py$")


def _admits(record: logging.LogRecord) -> bool:
    event = getattr(record.msg, "event", None)
    if type(record.msg).__name__ != "StringifiableFromEvent" or not isinstance(event, dict):
        return True
    if record.exc_info or event.get("isError") or "log_failure" in event:
        return not _is_of_mail(record.exc_info[2] if record.exc_info else None)
    chosen, text = settings(), record.getMessage()
    if _ENVELOPE.match(text):
        return chosen.identity == chosen.envelope == "plain"
    return chosen.identity == "plain" or not _IDENTITY.match(text)


def _is_of_mail(traceback: Any) -> bool:
    """Whether what failed ran for a mail connection, or is logged by one; one that cannot say may have."""
    return traceback is None or any(map(_MAIL.search, (*_files(traceback), *_files_here())))


def _files(traceback: Any) -> Iterator[str]:
    while traceback is not None:
        yield traceback.tb_frame.f_code.co_filename
        traceback = traceback.tb_next


def _files_here() -> Iterator[str]:
    """The files from Twisted's logging upwards; below it are stdlib's logging, and we who are asked."""
    frame: Any = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__") != "twisted.logger._stdlib":
        frame = frame.f_back
    while frame is not None:
        yield frame.f_code.co_filename
        frame = frame.f_back


WIRE_LOG: Final = LogFilter("", _admits)
