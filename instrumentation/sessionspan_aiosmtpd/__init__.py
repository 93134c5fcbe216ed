"""One span per SMTP or LMTP connection served by aiosmtpd.

``SMTP.connection_made``    runs once per connection (and again after STARTTLS): the session.
``SMTP._handle_client``     serves it: what it reads and writes, and its end.
``get_proxy``               reads the PROXY header: the real client.
``SMTP.eof_received``, ``.connection_lost``, ``._timeout_cb``, ``.handle_exception``: why it ended, what raised.
``*._trigger_server``       of a Controller connects to its own server: that is no session.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from sessionspan.addresses import UNKNOWN, Address, address_of, transport_of
from sessionspan.ending import type_name
from sessionspan.events import TLSFailure
from sessionspan.instrumentor import Patch, SessionInstrumentor
from sessionspan.opening import is_ignored, open_session
from sessionspan.protocols.smtp import SMTPObserver
from sessionspan.scope import Scope
from sessionspan.session import Session, current_session
from sessionspan.taps import Wire, tap_streams, untap_streams
from sessionspan.tls import handshake_of
from sessionspan.wrappers import after, after_awaiting, before, during, in_session, whole_session
from sessionspan_aiosmtpd.probe import probes
from sessionspan_aiosmtpd.wire_log import WIRE_LOG

_scope: Final = Scope("sessionspan_aiosmtpd")

# With these replies the server says that the client went too far, and closes.
_LIMIT_REPLIES: Final = frozenset(((421, "4.7.0"), (502, "5.5.1")))


def _connected(smtp: Any, transport: Any) -> Session | None:
    """A connection was made, or STARTTLS made it anew with *transport* now encrypted."""
    session = _session_of(smtp)
    if session is not None:
        # RFC 3207 4.2: STARTTLS resets the dialogue, not the connection. aiosmtpd makes a new Session
        # object of its own here; ours stays (aiosmtpd #287 loses the PROXY client this way).
        _tell_tls(session, transport, "starttls")
        return session
    session = _open(smtp, transport)
    if session is not None:
        _tell_tls(session, transport, "implicit")
    # Behind a proxy the header says who the client is. While a Controller tries its server, only the end
    # says whether this was that: then the session starts with the first command.
    if session is not None and smtp._proxy_timeout is None and not probes.may_be(session):
        session.start()
    return session


def _open(smtp: Any, transport: Any) -> Session | None:
    peer, local = (address_of(transport.get_extra_info(end)) for end in ("peername", "sockname"))
    session = open_session(
        _scope,
        "LMTP" if hasattr(smtp, "smtp_LHLO") else "SMTP",
        transport=transport_of(peer, local),
        peer=peer,
        local=local,
        behind_proxy=smtp._proxy_timeout is not None,
    )
    smtp._sessionspan = session
    return session


def _session_of(smtp: Any) -> Session | None:
    # Not by `vars`: that would give each SMTP object a dictionary, and slow it down. Tests hand out mocks.
    session = getattr(smtp, "_sessionspan", None)
    return session if isinstance(session, Session) else None


def _tell_tls(session: Session, transport: Any, mode: str) -> None:
    handshake = handshake_of(transport, mode)
    if handshake is not None:
        session.record_at_start(handshake)


def _serves(smtp: Any) -> Session | None:
    """aiosmtpd begins to serve the connection: listen in to what it reads and writes."""
    session = _session_of(smtp)
    if session is None and "_sessionspan" not in vars(smtp):
        # A honeypot's own protocol class may serve a connection that it made itself.
        session = _open(smtp, smtp._writer)
        if session is not None:
            session.start()
    smtp._sessionspan_serves = True
    smtp._sessionspan_listens = session is not None and session.listened_to
    if session is not None and smtp._sessionspan_listens:
        observer = SMTPObserver(lmtp=session.protocol == "LMTP", lockstep=True, who=_Login(smtp))
        tap_streams(smtp._reader, smtp._writer, Wire(session, observer))
    return session


class _Login:
    """Tells who was accepted by a mechanism of the application's own, where it tells a login at all."""

    __slots__ = ("_smtp",)

    def __init__(self, smtp: Any) -> None:
        self._smtp = smtp

    def __call__(self) -> str | None:
        # Never `session.login_data`: reading that property logs a deprecation warning.
        login = getattr(self._smtp.session.auth_data, "login", None)
        if isinstance(login, bytes):
            return login.decode(errors="backslashreplace")
        return login if isinstance(login, str) else None


def _served(session: Session, raised: BaseException | None, smtp: Any) -> None:
    """The connection was served to its end, or *raised*."""
    if smtp._sessionspan_listens:
        untap_streams(smtp._reader, smtp._writer)
    if _is_nobodys(session):
        session.discard()
    elif isinstance(raised, asyncio.CancelledError):
        session.cause("shutdown")  # unless it is known better: QUIT and a lost connection cancel, too
    elif isinstance(raised, ConnectionError) and smtp.transport is None:  # aiosmtpd's `connection_lost` was here
        session.cause("peer_reset")
    elif isinstance(raised, Exception):
        session.failed(raised)
        session.cause("handler_error")
    else:
        session.cause("local_close")


def _is_nobodys(session: Session) -> bool:
    """Whether *session* turned out to be a Controller's probe, or a health check that sent no PROXY header."""
    return probes.claim(session) or (not session.started and is_ignored(session.peer))


def _told_client(header: Any, reader: Any) -> None:
    """The PROXY *header* was read: now it is known who the client is."""
    session = current_session()
    if session is None:
        return
    if not header:
        session.cause("proxy_invalid")
        session.start_here()
        return
    client = _proxied(header)
    if _is_local(header) or is_ignored(client):
        session.discard()
        return
    session.set_proxy(f"proxy_v{header.version}", client)
    session.start_here()


def _proxied(header: Any) -> Address:
    address = header.src_addr
    if address is None:  # UNKNOWN, UNSPEC, LOCAL
        return UNKNOWN
    if isinstance(address, bytes):  # AF_UNIX: a path, padded
        return address_of(address)
    return address_of((str(address), header.src_port or 0))


def _is_local(header: Any) -> bool:
    # PROXY protocol version 2, section 2.2: command 0 is LOCAL, the proxy's own health check.
    return bool(header.version == 2 and header.command == 0)


def _lost(smtp: Any, error: BaseException | None) -> Session | None:
    session = _session_of(smtp)
    if session is not None:
        if isinstance(error, OSError):
            session.cause("timeout" if isinstance(error, TimeoutError) else "peer_reset")
        elif session.last_reply in _LIMIT_REPLIES:
            session.cause("limit")
        else:
            session.cause("local_close")
        if getattr(smtp, "_sessionspan_serves", None) is not True:
            # A TLS client that says goodbye at once cancels the task before it has begun, and so its end.
            if _is_nobodys(session):
                session.discard()
            session.end()
    return session


def _eof(smtp: Any) -> Session | None:
    session = _session_of(smtp)
    if session is not None:
        session.cause("peer_eof")
    return session


def _timed_out(smtp: Any) -> Session | None:
    session = _session_of(smtp)
    if session is not None:
        session.cause("timeout")
    return session


def _raised(smtp: Any, error: BaseException) -> None:
    session = _session_of(smtp)
    if session is None:
        return
    if type(error).__name__ == "TLSSetupException":
        session.record(TLSFailure(mode="starttls", error_type=type_name(error.__cause__ or error)))
    elif not isinstance(
        error.__context__, asyncio.LimitOverrunError
    ):  # a peer's endless line is no failure of ours
        session.failed(error)


class AiosmtpdInstrumentor(SessionInstrumentor):
    """Instruments aiosmtpd: SMTP and LMTP servers."""

    scope = _scope
    instruments = "aiosmtpd >= 1.4.4, < 2"
    log_filter = WIRE_LOG
    patches = (
        Patch("aiosmtpd.smtp", "SMTP.connection_made", in_session(_connected)),
        Patch("aiosmtpd.smtp", "SMTP._handle_client", whole_session(_serves, _served)),
        Patch("aiosmtpd.smtp", "SMTP.eof_received", in_session(_eof)),
        Patch("aiosmtpd.smtp", "SMTP.connection_lost", in_session(_lost)),
        Patch("aiosmtpd.smtp", "SMTP._timeout_cb", in_session(_timed_out)),
        Patch("aiosmtpd.smtp", "SMTP.handle_exception", before(_raised)),
        Patch("aiosmtpd.smtp", "get_proxy", after_awaiting(_told_client)),
        Patch("aiosmtpd.controller", "InetMixin._trigger_server", during(probes.begin, probes.end)),
        Patch("aiosmtpd.controller", "UnixSocketMixin._trigger_server", during(probes.begin, probes.end)),
        Patch("aiosmtpd.controller", "create_connection", after(probes.connected)),
    )
