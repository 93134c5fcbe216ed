"""One span per FTP control connection served by pyftpdlib.

``FTPHandler.handle``, ``.handle_max_cons*``   a connection was taken, or turned away: the session.
``FTPHandler.found_terminator``, ``.push``     it takes a line, and answers. Lines, not chunks of bytes: only
                                               pyftpdlib knows what it takes for one (2,048 bytes, CRLF only).
``FTPHandler.close``                           the end; ``.handle_close``, ``.handle_timeout``,
                                               ``.close_when_done``, ``.log_exception``, ``_IOLoop.close`` say why.
``AsyncChat.handle_read``, ``DTPHandler.close``, ``_CallLater.call``   run the application's callbacks.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from sessionspan.addresses import address_of
from sessionspan.ending import type_name
from sessionspan.events import TLSFailure
from sessionspan.instrumentor import Patch, SessionInstrumentor
from sessionspan.opening import open_session
from sessionspan.protocols.ftp import FTPObserver
from sessionspan.scope import Scope
from sessionspan.session import Session
from sessionspan.taps import Wire
from sessionspan.tls import established
from sessionspan.wrappers import after, before, in_session
from sessionspan_pyftpdlib.wire_log import WIRE_LOG

_scope: Final = Scope("sessionspan_pyftpdlib")

_ESTABLISHED: Final = b"SSL negotiation finished successfully"  # OpenSSL's SSL_state_string_long


def _connected(handler: Any) -> Session | None:
    """The server has taken the connection of *handler*."""
    if _serves_in_a_process_of_its_own(handler.server):
        return None
    local = address_of(handler.socket.getsockname())
    session = open_session(_scope, "FTP", peer=address_of((handler.remote_ip, handler.remote_port)), local=local)
    if session is not None:
        session.start()
        handler._sessionspan = session
        handler._sessionspan_wire = Wire(session, FTPObserver(lockstep=True))
    return session


def _serves_in_a_process_of_its_own(server: Any) -> bool:
    # The child would have to export, but ends by `os._exit`, without a last chance to do so.
    return any(kind.__name__ == "MultiprocessFTPServer" for kind in type(server).__mro__)


def _turned_away(handler: Any) -> Session | None:
    session = _connected(handler)
    if session is not None:
        session.cause("limit")
    return session


def _session_of(channel: Any) -> Session | None:
    """The session of a control *channel*; of any other there is none."""
    session = getattr(channel, "_sessionspan", None)
    return session if isinstance(session, Session) else None


def _session_of_data(channel: Any) -> Session | None:
    return _session_of(channel.cmd_channel)


def _session_of_call(call: Any) -> Session | None:
    """What a handler had called later is its own: the reply to a failed login, a timeout."""
    return _session_of(getattr(call._errback, "__self__", None))


def _takes_line(handler: Any) -> None:
    session = _session_of(handler)
    if session is not None:
        # A lone LF is part of the line here, but not for our reader of lines.
        handler._sessionspan_wire.client(b"".join(handler._in_buffer).replace(b"\n", b"\r") + b"\r\n")


def _answers(result: Any, handler: Any, data: str) -> None:
    if _session_of(handler) is not None:
        handler._sessionspan_wire.server(data.encode(handler.encoding, "replace"))


def _reads(channel: Any) -> Session | None:
    _tell_tls(channel)
    return _session_of(channel)


def _tell_tls(handler: Any) -> None:
    """A handshake is told with what the client sends after it, at the latest with the end."""
    session = _session_of(handler)
    if session is None or session.tls_mode != "none" or not _is_encrypted(handler):
        return
    protocol, cipher = handler.socket.get_protocol_version_name(), handler.socket.get_cipher_name()
    session.record(established("starttls", protocol, cipher or ""))  # RFC 4217: by AUTH TLS


def _is_encrypted(handler: Any) -> bool:
    # When `close` has said goodbye pyftpdlib knows no longer, but pyOpenSSL does; when the peer has gone
    # it is the other way round.
    state = getattr(handler.socket, "get_state_string", None)
    return state is not None and (handler._ssl_established or state() == _ESTABLISHED)


# Why it ends. An instrumentation does not catch: it looks at what the library is handling.


def _goes(channel: Any) -> None:
    """The server closes the connection once all is sent."""
    session = _session_of(channel)
    if session is not None:
        refused = channel.attempted_logins >= channel.max_login_attempts
        session.cause("auth_failed" if refused else "local_close")


def _lost(handler: Any) -> None:
    """The peer has gone; or all is sent, after `_goes`."""
    session = _session_of(handler)
    if session is not None and session.end_reason is None:
        session.cause(_loss(sys.exc_info()[1]))


def _loss(error: BaseException | None) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    # pyOpenSSL's SysCallError has the errno first, or -1 for an end without close_notify.
    number = error.args[0] if error is not None and error.args else None
    return "peer_reset" if isinstance(number, int) and number > 0 else "peer_eof"


def _timed_out(handler: Any) -> Session | None:
    session = _session_of(handler)
    if session is not None:
        session.cause("timeout")
    return session


def _data_timed_out(channel: Any) -> None:
    # It is asked again and again; without progress it closes the control connection, too.
    if channel.get_transmitted_bytes() <= channel._lastdata:
        _timed_out(channel.cmd_channel)


def _stops(loop: Any) -> None:
    for channel in list(loop.socket_map.values()):
        session = _session_of(channel)
        if session is not None and session.end_reason is None:
            session.cause("shutdown")


def _raised(handler: Any, instance: Any) -> None:
    """An exception is about to be logged: of *handler*, or of its data connection."""
    session, error = _session_of(handler), sys.exc_info()[1]
    if session is not None and error is not None:
        session.failed(error)
        if instance is handler:
            session.cause("handler_error")


def _closing(handler: Any) -> Session | None:
    _tell_tls(handler)
    session = _session_of(handler)
    if session is not None and session.tls_mode == "none" and hasattr(handler.socket, "get_state_string"):
        error = sys.exc_info()[1]
        session.record(TLSFailure(mode="starttls", error_type=type_name(error) if error else "_OTHER"))
    return session


def _closed(result: Any, handler: Any) -> None:
    session = _session_of(handler)
    if session is not None:
        session.end(session.end_reason or "local_close")


class PyftpdlibInstrumentor(SessionInstrumentor):
    """Instruments pyftpdlib: FTP servers."""

    scope = _scope
    instruments = "pyftpdlib >= 1.5.10, < 3"
    log_filter = WIRE_LOG
    patches = (
        Patch("pyftpdlib.handlers", "FTPHandler.handle", in_session(_connected)),
        Patch("pyftpdlib.handlers", "FTPHandler.handle_max_cons", in_session(_turned_away)),
        Patch("pyftpdlib.handlers", "FTPHandler.handle_max_cons_per_ip", in_session(_turned_away)),
        Patch("pyftpdlib.handlers", "FTPHandler.found_terminator", before(_takes_line)),
        Patch("pyftpdlib.handlers", "FTPHandler.push", after(_answers)),
        Patch("pyftpdlib.handlers", "FTPHandler.handle_timeout", in_session(_timed_out)),
        Patch("pyftpdlib.handlers", "FTPHandler.handle_close", before(_lost)),
        Patch("pyftpdlib.handlers", "FTPHandler.log_exception", before(_raised)),
        Patch("pyftpdlib.handlers", "FTPHandler.close", in_session(_closing)),
        Patch("pyftpdlib.handlers", "FTPHandler.close", after(_closed)),
        Patch("pyftpdlib.handlers", "DTPHandler.handle_timeout", before(_data_timed_out)),
        Patch("pyftpdlib.handlers", "DTPHandler.close", in_session(_session_of_data)),
        Patch("pyftpdlib.ioloop", "AsyncChat.handle_read", in_session(_reads)),
        Patch("pyftpdlib.ioloop", "AsyncChat.close_when_done", before(_goes)),
        Patch("pyftpdlib.ioloop", "_CallLater.call", in_session(_session_of_call)),
        Patch("pyftpdlib.ioloop", "_IOLoop.close", before(_stops)),
    )
