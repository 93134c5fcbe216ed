"""One span per FOO connection served by foolib.

``Server.serve``   runs once per connection, with a reader and a writer: the session.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from sessionspan.addresses import address_of
from sessionspan.exported_logs import LogFilter
from sessionspan.instrumentor import Patch, SessionInstrumentor
from sessionspan.opening import open_session
from sessionspan.protocols.smtp import SMTPObserver
from sessionspan.scope import Scope
from sessionspan.session import Session
from sessionspan.taps import Wire, tap_streams, untap_streams
from sessionspan.wrappers import whole_session

_scope: Final = Scope("sessionspan_foolib")


def _serves(server: Any, reader: Any, writer: Any) -> Session | None:
    peer, local = (address_of(writer.get_extra_info(end)) for end in ("peername", "sockname"))
    session = open_session(_scope, "SMTP", peer=peer, local=local)
    if session is not None:
        session.start()
        # Lock-step: foolib takes a line, and the next one once it has answered.
        tap_streams(reader, writer, Wire(session, SMTPObserver(lockstep=True)))
    return session


def _served(session: Session, raised: BaseException | None, server: Any, reader: Any, writer: Any) -> None:
    untap_streams(reader, writer)
    if isinstance(raised, ConnectionError):
        session.cause("peer_reset")
    elif isinstance(raised, Exception):
        session.failed(raised)
        session.cause("handler_error")
    else:
        session.cause("shutdown" if raised else "peer_eof")


def _admits(record: logging.LogRecord) -> bool:
    """Whether a line of foolib's own log may be exported: not when it quotes what the peer sent."""
    return "the client said" not in str(record.msg)


class FoolibInstrumentor(SessionInstrumentor):
    """Instruments foolib: SMTP servers."""

    scope = _scope
    instruments = "foolib >= 1.0, < 2"
    log_filter = LogFilter("foolib", _admits)
    patches = (Patch("foolib", "Server.serve", whole_session(_serves, _served)),)
