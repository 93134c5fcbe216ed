"""The life of a session, and its encryption."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry._logs import SeverityNumber

from sessionspan.events.event import Event, Privacy, SeedNames, Value, attribute, event


@event
class SessionStart(Event):
    """A session began: for a server, a connection was taken (behind a proxy, once its header was read)."""

    name = "sessionspan.session.start"
    audit = False
    shown = ("client.address", "network.local.port")
    seed_names = SeedNames(
        rusmes=("connection established",),
        rustbucket=("Connection",),
        netmiko=("connection_start",),
        popstore=("start",),
    )
    facts: Mapping[str, Value] | None = attribute(None)


@event
class SessionHeartbeat(Event):
    """A session goes on: told once a minute of each that is older than that. In log events only."""

    name = "sessionspan.session.heartbeat"
    audit = False
    spanned = False
    shown = ("sessionspan.session.duration",)
    duration: float = attribute("sessionspan.session.duration")  # seconds, so far


@event
class SessionEstablished(Event):
    """Client side: the session is ready for use, connected and logged in."""

    name = "sessionspan.session.established"
    shown = ("server.address", "sessionspan.device.type", "sessionspan.session.duration")
    seed_names = SeedNames(netmiko=("connection_success",))
    duration: float = attribute("sessionspan.session.duration")  # seconds, so far


@event
class SessionEnd(Event):
    """A session is over; all that its span says is repeated here."""

    name = "sessionspan.session.end"
    shown = ("sessionspan.outcome", "sessionspan.end_reason", "sessionspan.session.duration")
    seed_names = SeedNames(
        rusmes=("Connection closing",), netmiko=("connection_failed", "disconnection"), popstore=("end",)
    )
    facts: Mapping[str, Value] | None = attribute(None)


@event
class SessionException(Event):
    """The application's own code raised inside the session, or a client's connection failed."""

    name = "sessionspan.session.exception"
    severity = SeverityNumber.ERROR
    shown = ("exception.type", "exception.message")
    exception_type: str = attribute("exception.type")
    # Of a failed connection only: the text of an application's exception may quote a password.
    message: str | None = attribute("exception.message", Privacy.COMMAND)


@event
class TLSEstablished(Event):
    """A TLS handshake succeeded."""

    name = "sessionspan.tls.established"
    audit = False
    shown = ("tls.protocol.version", "tls.cipher", "sessionspan.tls.cipher")
    seed_names = SeedNames(kumomta=("tls_protocol_version", "tls_cipher", "tls_peer_subject_name"))
    mode: str = attribute("sessionspan.tls.mode")
    protocol_name: str | None = attribute("tls.protocol.name")
    protocol_version: str | None = attribute("tls.protocol.version")
    cipher: str | None = attribute("tls.cipher")
    openssl_cipher: str | None = attribute("sessionspan.tls.cipher")
    resumed: bool | None = attribute("tls.resumed")
    client_subject: str | None = attribute("tls.client.subject", Privacy.IDENTITY)
    server_subject: str | None = attribute("tls.server.subject")
    peer_verified: bool | None = attribute("sessionspan.tls.peer.verified")


@event
class TLSFailure(Event):
    """A TLS handshake failed."""

    name = "sessionspan.tls.failure"
    severity = SeverityNumber.WARN
    shown = ("error.type",)
    mode: str = attribute("sessionspan.tls.mode")
    error_type: str = attribute("error.type")
