"""Which lines of aiosmtpd's own log may be exported: those that do not quote the peer.

After a failed AUTH LOGIN a client sends its password, in base64, where the server reads a command; aiosmtpd
logs that line at INFO and its first word at WARNING. At DEBUG it logs all content. By default a line of its
log stays here; the table names the messages that may go. A handler's exception is not among them, since its
text may quote a password: the event ``session.exception`` says its type, your own handlers have the traceback.
"""

from __future__ import annotations

import logging
from typing import Final

from sessionspan.exported_logs import LogFilter
from sessionspan.settings import settings

# The messages that may go, as long as the privacy classes that they hold may.
_IDENTITY: Final = frozenset(
    (
        "Peer: %r",
        "%r handling connection",
        "%r connection lost",
        "%r EOF received",
        "%r connection timeout",
        "%r Connection lost during _handle_client()",
        "%r too many bogus commands",
        "%r waiting PROXY handshake",
        "%r valid PROXY handshake",
        "%r invalid PROXY handshake",
        "%r rejected by handle_PROXY",
        "%r aborted AUTH with '*'",
    )
)
_IDENTITY_AND_ENVELOPE: Final = frozenset(("%r sender: %s", "%r recip: %s"))
_NEITHER: Final = frozenset(("Connection lost during DATA",))


def _admits(record: logging.LogRecord) -> bool:
    # `mail.log` is a name that an application may use for its own lines, too: those are not ours to judge.
    if record.module not in ("smtp", "lmtp", "proxy_protocol") or "aiosmtpd" not in record.pathname:
        return True
    chosen = settings()
    if record.msg in _IDENTITY:
        return chosen.identity == "plain"
    if record.msg in _IDENTITY_AND_ENVELOPE:
        return chosen.identity == chosen.envelope == "plain"
    return record.msg in _NEITHER or str(record.msg).startswith("Available AUTH mechanisms: ")


WIRE_LOG: Final = LogFilter("mail.log", _admits)
