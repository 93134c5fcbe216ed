"""One span per SMTP, POP3 and IMAP connection served by twisted.mail; an instrumentation for each of the three.

``SMTP.makeConnection``, ``POP3.``, ``IMAP4Server.``   run once per connection: the session, and its `Connection`.
``POP3._unblock``, ``IMAP4Server._unblock``            take up pipelined commands in the callback of a Deferred.
``SMTP._cb*``, ``SMTP._eb*``, ``SMTP._messageHandled``  answer a command in the callback of a Deferred, maybe late.
``*._eb*``                                             are told what the application raised.
``Portal.login``                                       knows who was accepted.
``ReactorBase.disconnectAll``                          is the server's end.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from sessionspan.guard import guard
from sessionspan.instrumentor import Patch, SessionInstrumentor
from sessionspan.session import Session, current_session
from sessionspan.settings import settings
from sessionspan.wrappers import Wrapper, after, before, carrying, during, in_session
from sessionspan_twisted.connection import (
    Connection,
    connect,
    connection_in,
    connection_of,
    open_connections,
)
from sessionspan_twisted.servers import (
    IMAP_SCOPE,
    POP3_SCOPE,
    SMTP_SCOPE,
    IMAPConnection,
    POP3Connection,
    SMTPConnection,
)
from sessionspan_twisted.wire_log import WIRE_LOG

# Failures with which an application says no, by the name of a class: they are no errors of its own.
_REFUSALS: Final = frozenset(("SMTPServerError", "LoginFailed", "Unauthorized"))


def _connects(kind: type[Connection]) -> Wrapper:
    return in_session(partial(connect, kind))


def _session_of(protocol: Any, *args: Any, **kwargs: Any) -> Session | None:
    connection = connection_of(protocol)
    return connection.session if connection is not None else None


def _answering(*verbs: str) -> Wrapper:
    """It runs in the session, and what is sent meanwhile is the reply to a command that is one of *verbs*."""

    def begins(protocol: Any, *args: Any, **kwargs: Any) -> None:
        connection = connection_of(protocol)
        if connection is not None:
            connection.answers(*verbs)

    def ends(protocol: Any, *args: Any, **kwargs: Any) -> None:
        connection = connection_of(protocol)
        if connection is not None:
            connection.answers()

    listen = during(begins, ends)
    return lambda original: in_session(_session_of)(listen(original))


def _raised(protocol: Any, failure: Any, *args: Any) -> None:
    """A callback of the application has come to *failure*."""
    session, error = _session_of(protocol), getattr(failure, "value", None)
    if session is not None and isinstance(error, Exception) and not _refuses(error):
        session.failed(error)


def _raised_some(protocol: Any, results: Any) -> None:
    """The application has taken a message for each of its recipients: *results* of a DeferredList."""
    for result in results if isinstance(results, list) else ():
        if not result[0]:
            _raised(protocol, result[1])


def _refuses(error: Exception) -> bool:
    return any(kind.__name__ in _REFUSALS for kind in type(error).__mro__)


def _logs_in(result: Any, portal: Any, credentials: Any, *args: Any) -> None:
    """*credentials* were given to the portal, by the line that is being taken; *result* is a Deferred."""
    session = current_session()
    connection = connection_in(session) if session is not None else None
    # MAIL without a login is a login of nobody: that is no AUTH.
    if connection is None or any(kind.__name__ == "Anonymous" for kind in type(credentials).__mro__):
        return
    result.addBoth(_Decision(connection, credentials))


class _Decision:
    """Hears what the portal says to *credentials*, and hands it on."""

    __slots__ = ("_command", "_connection", "_credentials")

    def __init__(self, connection: Connection, credentials: Any) -> None:
        self._connection = connection
        self._command = connection.command
        self._credentials = credentials

    def __call__(self, result: Any) -> Any:
        self._tell(result)
        return result

    @guard
    def _tell(self, result: Any) -> None:
        accepted = not hasattr(result, "getTraceback")  # what fails is a Failure
        name = getattr(self._credentials, "username", None) if accepted else None
        if isinstance(name, bytes):
            name = name.decode(errors="backslashreplace")
        self._connection.decided(self._command, name if isinstance(name, str) else None)


def _stops(reactor: Any) -> None:
    for connection in open_connections():
        connection.stops()


# What the three have in common; several may be in use.
_SHARED: Final = (
    Patch("twisted.cred.portal", "Portal.login", after(_logs_in), shared=True),
    Patch("twisted.internet.base", "ReactorBase.disconnectAll", before(_stops), shared=True),
)
_CARRYING: Final = (
    Patch("twisted.internet.defer", "Deferred.addCallbacks", carrying("callback", "errback"), shared=True),
    Patch("twisted.internet.defer", "Deferred.addCallback", carrying("callback"), shared=True),
    Patch("twisted.internet.defer", "Deferred.addErrback", carrying("errback"), shared=True),
    Patch("twisted.internet.defer", "Deferred.addBoth", carrying("callback"), shared=True),
    Patch("twisted.internet.base", "ReactorBase.callLater", carrying("callable"), shared=True),
    Patch(
        "twisted.internet.asyncioreactor", "AsyncioSelectorReactor.callLater", carrying("callable"), shared=True
    ),
    Patch(
        "twisted.python.threadpool",
        "ThreadPool.callInThreadWithCallback",
        carrying("onResult", "func"),
        shared=True,
    ),
)


def _errbacks(module: str, kind: str, *names: str) -> tuple[Patch, ...]:
    return tuple(Patch(module, f"{kind}.{name}", before(_raised)) for name in names)


class _TwistedInstrumentor(SessionInstrumentor):
    instruments = "twisted >= 21.7, < 28"
    log_filter = WIRE_LOG

    @property
    def wanted_patches(self) -> tuple[Patch, ...]:
        """See `SessionInstrumentor.wanted_patches`."""
        return (*self.patches, *_CARRYING) if settings().twisted_context else self.patches


class TwistedSMTPInstrumentor(_TwistedInstrumentor):
    """Instruments twisted.mail: SMTP servers."""

    scope = SMTP_SCOPE
    patches = (
        *_errbacks("twisted.mail.smtp", "ESMTP", "_ebAuthenticated"),
        Patch("twisted.mail.smtp", "SMTP._cbFromValidate", _answering("MAIL")),
        Patch("twisted.mail.smtp", "SMTP._ebFromValidate", _answering("MAIL")),
        Patch("twisted.mail.smtp", "SMTP._cbToValidate", _answering("RCPT")),
        Patch("twisted.mail.smtp", "SMTP._ebToValidate", _answering("RCPT")),
        Patch("twisted.mail.smtp", "SMTP._messageHandled", _answering("DATA")),
        Patch("twisted.mail.smtp", "SMTP._messageHandled", before(_raised_some)),
        *_errbacks("twisted.mail.smtp", "SMTP", "_ebFromValidate", "_ebToValidate"),
        Patch("twisted.mail.smtp", "SMTP.makeConnection", _connects(SMTPConnection)),
        *_SHARED,
    )


class TwistedPOP3Instrumentor(_TwistedInstrumentor):
    """Instruments twisted.mail: POP3 servers."""

    scope = POP3_SCOPE
    patches = (
        Patch("twisted.mail.pop3", "POP3._unblock", in_session(_session_of)),
        *_errbacks("twisted.mail.pop3", "POP3", "_ebUnexpected"),
        Patch("twisted.mail.pop3", "POP3.makeConnection", _connects(POP3Connection)),
        *_SHARED,
    )


class TwistedIMAPInstrumentor(_TwistedInstrumentor):
    """Instruments twisted.mail: IMAP servers."""

    scope = IMAP_SCOPE
    patches = (
        Patch("twisted.mail.imap4", "IMAP4Server._unblock", in_session(_session_of)),
        *_errbacks(
            "twisted.mail.imap4",
            "IMAP4Server",
            "_ebSelectWork",
            "_IMAP4Server__ebLogin",
            "_IMAP4Server__ebAuthResp",
            "_IMAP4Server__ebAppend",
            "_IMAP4Server__ebExpunge",
            "_IMAP4Server__ebFetch",
            "_IMAP4Server__ebStore",
            "_IMAP4Server__ebCopy",
        ),
        Patch("twisted.mail.imap4", "IMAP4Server.makeConnection", _connects(IMAPConnection)),
        *_SHARED,
    )
