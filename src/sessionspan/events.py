"""The catalogue: one small frozen value per event that a session can have.

A field says its attribute key and its privacy class; it never says how it is exported. Observers make
these values, `Session.record` alone speaks them. Docs tables and tests are generated from this page.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, TypeAlias, TypeVar

from opentelemetry._logs import SeverityNumber

from sessionspan.process_run import log_id

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform

Value: TypeAlias = str | bool | int | float | tuple[str, ...]
INFO, WARN, ERROR = SeverityNumber.INFO, SeverityNumber.WARN, SeverityNumber.ERROR


REPLY_CODE: Final = "sessionspan.reply.code"
REPLY_STATUS: Final = "sessionspan.reply.status"
FINGERPRINT: Final = "sessionspan.command.fingerprint"
COMMAND_TEXT: Final = "sessionspan.command.text"


class Privacy(Enum):
    """What a field may hold, and so where it may go. `sessionspan.redaction` has the rule for each."""

    PLAIN = "plain"  # names, codes, sizes, durations
    IDENTITY = "identity"  # who: the accepted user
    ADDRESS = "address"  # envelope: a mail address or a name somebody typed; on spans its domain only
    HOST = "host"  # envelope: a host name that the peer gave itself
    REMARK = "remark"  # envelope: text that may quote an address; never on spans
    COMMAND = "command"  # content: the text of a command
    ENVELOPE_COMMAND = "envelope command"  # content, of a command that carries an envelope
    CONTENT = "content"  # content: what people or machines wrote or answered
    ENVELOPE_CONTENT = "envelope content"  # content that carries an envelope


class Attribute(NamedTuple):
    """How one field goes on the wire; ``key`` is None for a field that is itself a map of attributes."""

    field: str
    key: str | None
    privacy: Privacy
    is_text: bool  # or texts, or a map of attributes; else a number or a truth value


def attribute(key: str | None, privacy: Privacy = Privacy.PLAIN, default: Any = None) -> Any:
    """A field of an event, exported under *key*."""
    return dataclasses.field(default=default, metadata={"key": key, "privacy": privacy})


def made_attribute(key: str, make: Callable[[], Any]) -> Any:
    """A field that the event fills in itself, by *make*."""
    return dataclasses.field(default_factory=make, metadata={"key": key, "privacy": Privacy.PLAIN})


class SeedNames(NamedTuple):
    """What the systems that users come from call an event (docs/migration), in the order in which they tell it.

    `sessionspan.projection` has the names of which not all hold for every event of a class.
    """

    rusmes: tuple[str, ...] = ()
    rustbucket: tuple[str, ...] = ()
    netmiko: tuple[str, ...] = ()
    popstore: tuple[str, ...] = ()
    kumomta: tuple[str, ...] = ()


_T = TypeVar("_T", bound=type)

if TYPE_CHECKING:

    @dataclass_transform(frozen_default=True, kw_only_default=True)
    def _event(kind: _T) -> _T:
        """Values that type checkers hold to be frozen."""

else:
    # At run time nothing holds them to it: that would double what it costs to make one.
    _event = dataclass(kw_only=True, slots=True, unsafe_hash=True)


@_event
class Event:
    """Something that happened in a session. Subclasses are the catalogue."""

    name: ClassVar[str]
    severity: ClassVar[SeverityNumber] = INFO
    # Vital events (session, auth, mail) have a quota of their own: a flood of commands cannot push them out.
    vital: ClassVar[bool] = True
    # What a peer can cause without being let in has a quota apart, so that it cannot hide what it got in the end.
    refusal: ClassVar[bool] = False
    # Recorded even when the span is not sampled, by SESSIONSPAN_UNSAMPLED=audit.
    audit: ClassVar[bool] = True
    # The attributes that make the display line, in order.
    shown: ClassVar[tuple[str, ...]] = ()
    # Whether it goes on the span, too; what says only that the span goes on does not.
    spanned: ClassVar[bool] = True
    seed_names: ClassVar[SeedNames] = SeedNames()


_attributes: dict[type[Event], tuple[Attribute, ...]] = {}


def attributes_of(event: type[Event]) -> tuple[Attribute, ...]:
    """The exported fields of *event*, in the order of their definition."""
    found = _attributes.get(event)
    if found is None:
        found = _attributes[event] = tuple(
            Attribute(field.name, field.metadata["key"], field.metadata["privacy"], "str" in str(field.type))
            for field in dataclasses.fields(event)
            if field.metadata
        )
    return found


def catalogue() -> list[type[Event]]:
    """All events, in the order of this page."""
    # `slots=True` makes each class twice; the first one is without slots and soon collected.
    return [event for event in Event.__subclasses__() if "__slots__" in vars(event)]


@_event
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


@_event
class SessionHeartbeat(Event):
    """A session goes on: told once a minute of each that is older than that. In log events only."""

    name = "sessionspan.session.heartbeat"
    audit = False
    spanned = False
    shown = ("sessionspan.session.duration",)
    duration: float = attribute("sessionspan.session.duration")  # seconds, so far


@_event
class SessionEstablished(Event):
    """Client side: the session is ready for use, connected and logged in."""

    name = "sessionspan.session.established"
    shown = ("server.address", "sessionspan.device.type", "sessionspan.session.duration")
    seed_names = SeedNames(netmiko=("connection_success",))
    duration: float = attribute("sessionspan.session.duration")  # seconds, so far


@_event
class SessionEnd(Event):
    """A session is over; all that its span says is repeated here."""

    name = "sessionspan.session.end"
    shown = ("sessionspan.outcome", "sessionspan.end_reason", "sessionspan.session.duration")
    seed_names = SeedNames(
        rusmes=("Connection closing",), netmiko=("connection_failed", "disconnection"), popstore=("end",)
    )
    facts: Mapping[str, Value] | None = attribute(None)


@_event
class SessionException(Event):
    """The application's own code raised inside the session, or a client's connection failed."""

    name = "sessionspan.session.exception"
    severity = ERROR
    shown = ("exception.type", "exception.message")
    exception_type: str = attribute("exception.type")
    # Of a failed connection only: the text of an application's exception may quote a password.
    message: str | None = attribute("exception.message", Privacy.COMMAND)


@_event
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


@_event
class TLSFailure(Event):
    """A TLS handshake failed."""

    name = "sessionspan.tls.failure"
    severity = WARN
    shown = ("error.type",)
    mode: str = attribute("sessionspan.tls.mode")
    error_type: str = attribute("error.type")


@_event
class AuthSuccess(Event):
    """The peer's credentials were accepted; from here the session acts as `identity`."""

    name = "sessionspan.auth.success"
    shown = ("sessionspan.auth.mechanism", "user.name")
    seed_names = SeedNames(rusmes=("User authenticated",), popstore=("login_start", "login_pw_match"))
    # RFC 4616: the authorization identity when one was given, else the authentication identity.
    identity: str | None = attribute("user.name", Privacy.IDENTITY)
    mechanism: str | None = attribute("sessionspan.auth.mechanism")
    user_name: str | None = attribute("sessionspan.auth.user.name", Privacy.IDENTITY)


@_event
class AuthFailure(Event):
    """An attempt to log in failed. The attempted name may be a mistyped password: class envelope."""

    name = "sessionspan.auth.failure"
    refusal = True
    severity = WARN
    shown = ("sessionspan.auth.mechanism", "sessionspan.auth.user.name", "error.type")
    seed_names = SeedNames(popstore=("login_start", "login_pw_nomatch"))
    mechanism: str | None = attribute("sessionspan.auth.mechanism")
    user_name: str | None = attribute("sessionspan.auth.user.name", Privacy.ADDRESS)
    error_type: str = attribute("error.type", default="_OTHER")


@_event
class AuthEnd(Event):
    """A logged-in identity ended: by logout, by another login, by STARTTLS, or with the session."""

    name = "sessionspan.auth.end"
    shown = ("user.name",)
    seed_names = SeedNames(popstore=("login_end",))


@_event
class Command(Event):
    """A client sent a command and the server replied, or the session ended before it did."""

    name = "sessionspan.command"
    vital = False
    audit = False
    shown = (
        "sessionspan.command.name",
        "sessionspan.reply.code",
        "sessionspan.reply.enhanced_status",
        "sessionspan.reply.response_code",
        "sessionspan.command.duration",
    )
    seed_names = SeedNames(rustbucket=("Input", "Response", "Duration"))
    command: str = attribute("sessionspan.command.name")  # from a closed set, else _OTHER
    sequence: int = attribute("sessionspan.command.sequence")
    duration: float | None = attribute("sessionspan.command.duration")  # seconds
    text: str | None = attribute(COMMAND_TEXT, Privacy.COMMAND)
    envelope_text: str | None = attribute(COMMAND_TEXT, Privacy.ENVELOPE_COMMAND)
    reply_code: int | None = attribute("sessionspan.reply.code")
    reply_status: str = attribute("sessionspan.reply.status", default="none")
    reply_enhanced_status: str | None = attribute("sessionspan.reply.enhanced_status")  # RFC 3463
    reply_response_code: str | None = attribute("sessionspan.reply.response_code")  # RFC 5530, 2449; else _OTHER
    reply_text: str | None = attribute("sessionspan.reply.text", Privacy.CONTENT)
    transaction: int | None = attribute("sessionspan.mail.transaction.sequence")
    # What the client calls itself (EHLO, HELO, LHLO).
    peer_hostname: str | None = attribute("sessionspan.peer.hostname", Privacy.HOST)


@_event
class Interaction(Event):
    """What a client sent until it was answered, and the answer. For honeypots: ``SESSIONSPAN_INTERACTIONS``."""

    name = "sessionspan.interaction"
    vital = False
    audit = False
    shown = (
        "sessionspan.input.size",
        "sessionspan.output.size",
        "sessionspan.interaction.duration",
        "sessionspan.input.text",
        "sessionspan.output.text",
    )
    seed_names = SeedNames(rustbucket=("Input", "Response", "Duration"))
    input_size: int = attribute("sessionspan.input.size")  # bytes
    output_size: int = attribute("sessionspan.output.size")  # bytes; 0 when there was no answer
    duration: float | None = attribute("sessionspan.interaction.duration")  # seconds; None without an answer
    input_text: str | None = attribute("sessionspan.input.text", Privacy.CONTENT)
    envelope_input_text: str | None = attribute("sessionspan.input.text", Privacy.ENVELOPE_CONTENT)
    output_text: str | None = attribute("sessionspan.output.text", Privacy.CONTENT)


@_event
class IdleStart(Event):
    """A client waits for news (IMAP's IDLE, RFC 2177), and the server agreed."""

    name = "sessionspan.idle.start"
    vital = False
    audit = False


@_event
class IdleEnd(Event):
    """A client waits for news no longer, or has gone."""

    name = "sessionspan.idle.end"
    vital = False
    audit = False
    shown = ("sessionspan.idle.duration",)
    duration: float = attribute("sessionspan.idle.duration")  # seconds


@_event
class DeviceCommandSent(Event):
    """A command was sent to a device."""

    name = "sessionspan.device.command.sent"
    vital = False
    audit = False
    shown = (FINGERPRINT,)
    seed_names = SeedNames(netmiko=("command_sent",))
    command: str = attribute("sessionspan.command.name")  # from a closed set
    sequence: int = attribute("sessionspan.command.sequence")
    fingerprint: str | None = attribute(FINGERPRINT)
    text: str | None = attribute(COMMAND_TEXT, Privacy.COMMAND)
    size: int = attribute("sessionspan.command.size")
    truncated: bool = attribute("sessionspan.command.truncated")


@_event
class DeviceCommandResponse(Event):
    """A device answered a command."""

    name = "sessionspan.device.command.response"
    vital = False
    audit = False
    shown = (FINGERPRINT, "sessionspan.response.size", "sessionspan.command.duration")
    seed_names = SeedNames(netmiko=("command_response",))
    command: str = attribute("sessionspan.command.name")
    sequence: int = attribute("sessionspan.command.sequence")
    fingerprint: str | None = attribute(FINGERPRINT)
    text: str | None = attribute(COMMAND_TEXT, Privacy.COMMAND)
    response_size: int = attribute("sessionspan.response.size")
    response_text: str | None = attribute("sessionspan.response.text", Privacy.CONTENT)
    response_truncated: bool = attribute("sessionspan.response.truncated")
    duration: float = attribute("sessionspan.command.duration")  # seconds, of it:
    prompt_duration: float | None = attribute("sessionspan.command.prompt.duration")
    wait_duration: float | None = attribute("sessionspan.command.wait.duration")


@_event
class DeviceCommandFailure(Event):
    """A command, a change of configuration or a transfer failed, or the device closed the connection meanwhile."""

    name = "sessionspan.device.command.failure"
    severity = WARN
    vital = False
    shown = ("sessionspan.command.name", FINGERPRINT, "error.type", "exception.message")
    seed_names = SeedNames(netmiko=("command_failed",))
    command: str = attribute("sessionspan.command.name")
    sequence: int = attribute("sessionspan.command.sequence")
    fingerprint: str | None = attribute(FINGERPRINT)
    text: str | None = attribute(COMMAND_TEXT, Privacy.COMMAND)
    response_size: int = attribute("sessionspan.response.size")
    response_text: str | None = attribute("sessionspan.response.text", Privacy.CONTENT)
    response_truncated: bool = attribute("sessionspan.response.truncated")
    duration: float = attribute("sessionspan.command.duration")
    prompt_duration: float | None = attribute("sessionspan.command.prompt.duration")
    wait_duration: float | None = attribute("sessionspan.command.wait.duration")
    error_type: str = attribute("error.type")  # an exception's class, or connection_closed
    message: str | None = attribute("exception.message", Privacy.COMMAND)


@_event
class DeviceConfigSet(Event):
    """Lines of configuration were sent to a device."""

    name = "sessionspan.device.config.set"
    vital = False
    shown = (FINGERPRINT, "sessionspan.command.duration")
    command: str = attribute("sessionspan.command.name", default="CONFIG")
    sequence: int = attribute("sessionspan.command.sequence")
    fingerprint: str | None = attribute(FINGERPRINT)  # of the first line
    text: str | None = attribute(COMMAND_TEXT, Privacy.COMMAND)
    size: int = attribute("sessionspan.command.size")
    truncated: bool = attribute("sessionspan.command.truncated")
    response_size: int = attribute("sessionspan.response.size")
    response_text: str | None = attribute("sessionspan.response.text", Privacy.CONTENT)
    response_truncated: bool = attribute("sessionspan.response.truncated")
    duration: float = attribute("sessionspan.command.duration")


@_event
class DeviceConfigCommit(Event):
    """A device was told to put its candidate configuration into force."""

    name = "sessionspan.device.config.commit"
    vital = False
    shown = ("sessionspan.command.duration",)
    command: str = attribute("sessionspan.command.name", default="COMMIT")
    sequence: int = attribute("sessionspan.command.sequence")
    response_size: int = attribute("sessionspan.response.size")
    response_text: str | None = attribute("sessionspan.response.text", Privacy.CONTENT)
    response_truncated: bool = attribute("sessionspan.response.truncated")
    duration: float = attribute("sessionspan.command.duration")


@_event
class DeviceConfigSave(Event):
    """A device was told to keep its configuration over a restart."""

    name = "sessionspan.device.config.save"
    vital = False
    shown = ("sessionspan.command.duration",)
    command: str = attribute("sessionspan.command.name", default="SAVE")
    sequence: int = attribute("sessionspan.command.sequence")
    response_size: int = attribute("sessionspan.response.size")
    response_text: str | None = attribute("sessionspan.response.text", Privacy.CONTENT)
    response_truncated: bool = attribute("sessionspan.response.truncated")
    duration: float = attribute("sessionspan.command.duration")


@_event
class DeviceConfigEnable(Event):
    """A session got the rights to configure a device (Cisco's ``enable``)."""

    name = "sessionspan.device.config.enable"
    vital = False
    shown = ("sessionspan.command.duration",)
    command: str = attribute("sessionspan.command.name", default="ENABLE")
    sequence: int = attribute("sessionspan.command.sequence")
    duration: float = attribute("sessionspan.command.duration")


@_event
class DeviceRedispatch(Event):
    """A session goes on with a device of another type: behind a terminal server, or found out."""

    name = "sessionspan.device.redispatch"
    vital = False
    shown = ("sessionspan.device.type",)


@_event
class DeviceDialog(Event):
    """A question of a device was answered. The answer may be a password: only its length is told."""

    name = "sessionspan.device.dialog"
    vital = False
    audit = False
    shown = ("sessionspan.input.size",)
    sequence: int = attribute("sessionspan.command.sequence")
    input_size: int = attribute("sessionspan.input.size")


@_event
class DeviceFileTransfer(Event):
    """A file was copied to or from a device, over a connection of its own or within the session."""

    name = "sessionspan.device.file_transfer"
    vital = False
    shown = (
        "sessionspan.file.direction",
        "sessionspan.file.source",
        "sessionspan.file.size",
        "sessionspan.command.duration",
    )
    command: str = attribute("sessionspan.command.name", default="FILE_TRANSFER")
    sequence: int = attribute("sessionspan.command.sequence")
    direction: str = attribute("sessionspan.file.direction")  # put, get
    source: str | None = attribute("sessionspan.file.source", Privacy.COMMAND)
    destination: str | None = attribute("sessionspan.file.destination", Privacy.COMMAND)
    size: int | None = attribute("sessionspan.file.size")  # bytes
    duration: float = attribute("sessionspan.command.duration")


@_event
class OperationStart(Event):
    """A piece of the application's work began, which may use any number of sessions."""

    name = "sessionspan.operation.start"
    shown = ("sessionspan.operation.name",)
    seed_names = SeedNames(netmiko=("interface_collection_start",))


@_event
class OperationPlanned(Event):
    """The commands that an operation is going to send."""

    name = "sessionspan.operation.planned"
    audit = False
    shown = ("sessionspan.operation.name", "sessionspan.operation.commands")
    seed_names = SeedNames(netmiko=("interface_commands_planned",))
    commands: tuple[str, ...] = attribute("sessionspan.operation.commands", Privacy.COMMAND)


@_event
class OperationSuccess(Event):
    """An operation is done."""

    name = "sessionspan.operation.success"
    shown = ("sessionspan.operation.name", "sessionspan.operation.summary", "sessionspan.operation.duration")
    seed_names = SeedNames(netmiko=("interface_collection_success",))
    summary: str | None = attribute("sessionspan.operation.summary")  # the application's own words
    duration: float = attribute("sessionspan.operation.duration")  # seconds


@_event
class OperationFailure(Event):
    """An operation has failed."""

    name = "sessionspan.operation.failure"
    severity = ERROR
    shown = ("sessionspan.operation.name", "error.type", "sessionspan.operation.summary")
    seed_names = SeedNames(netmiko=("interface_collection_failed",))
    error_type: str = attribute("error.type")
    summary: str | None = attribute("sessionspan.operation.summary")
    duration: float = attribute("sessionspan.operation.duration")


@_event
class MailReception(Event):
    """A message was accepted. Over LMTP one event per accepted recipient (RFC 2033 4.2)."""

    name = "sessionspan.mail.reception"
    shown = (
        "sessionspan.mail.sender",
        "sessionspan.mail.recipients",
        "sessionspan.mail.message.size",
        "sessionspan.reply.code",
    )
    seed_names = SeedNames(kumomta=("Reception",))
    spool_id: str = attribute("sessionspan.mail.spool.id")
    sender: str | None = attribute("sessionspan.mail.sender", Privacy.ADDRESS)
    recipients: tuple[str, ...] = attribute("sessionspan.mail.recipients", Privacy.ADDRESS)
    recipient_count: int = attribute("sessionspan.mail.recipient.count")
    size: int = attribute("sessionspan.mail.message.size")  # bytes, without dot-stuffing and final dot
    reception_protocol: str = attribute("sessionspan.mail.reception.protocol")  # RFC 3848 without suffixes
    peer_hostname: str | None = attribute("sessionspan.peer.hostname", Privacy.HOST)
    response_command: str = attribute("sessionspan.mail.response.command")
    reply_code: int | None = attribute("sessionspan.reply.code")
    reply_status: str = attribute("sessionspan.reply.status")
    reply_enhanced_status: str | None = attribute("sessionspan.reply.enhanced_status")
    reply_text: str | None = attribute("sessionspan.reply.text", Privacy.REMARK)
    transaction: int = attribute("sessionspan.mail.transaction.sequence")
    sequence: int = attribute("sessionspan.command.sequence")


@_event
class MailRejection(Event):
    """A 4xx or 5xx reply to the greeting, MAIL, RCPT, DATA, BDAT or the final dot."""

    name = "sessionspan.mail.rejection"
    refusal = True
    shown = (
        "sessionspan.mail.response.command",
        "sessionspan.mail.recipient",
        "sessionspan.reply.code",
        "sessionspan.reply.enhanced_status",
    )
    seed_names = SeedNames(kumomta=("Rejection",))
    sender: str | None = attribute("sessionspan.mail.sender", Privacy.ADDRESS)
    recipient: str | None = attribute("sessionspan.mail.recipient", Privacy.ADDRESS)
    reception_protocol: str = attribute("sessionspan.mail.reception.protocol")
    peer_hostname: str | None = attribute("sessionspan.peer.hostname", Privacy.HOST)
    response_command: str | None = attribute("sessionspan.mail.response.command")  # `.` is the final dot
    reply_code: int | None = attribute("sessionspan.reply.code")
    reply_status: str = attribute("sessionspan.reply.status")
    reply_enhanced_status: str | None = attribute("sessionspan.reply.enhanced_status")
    reply_text: str | None = attribute("sessionspan.reply.text", Privacy.REMARK)
    transaction: int | None = attribute("sessionspan.mail.transaction.sequence")
    sequence: int | None = attribute("sessionspan.command.sequence")


@_event
class StoreMessageOpen(Event):
    """A client was sent a stored message, or a part of its body; its header alone is none."""

    name = "sessionspan.store.message.open"
    # A client that fetches a whole mailbox shall not push out what it deletes.
    vital = False
    shown = ("sessionspan.store.mailbox", "sessionspan.mail.message.uid", "sessionspan.mail.message.size")
    seed_names = SeedNames(popstore=("msg_open",))
    log_id: str = made_attribute("sessionspan.store.log_id", log_id)
    mailbox: str | None = attribute("sessionspan.store.mailbox", Privacy.ADDRESS)
    uid: str | None = attribute("sessionspan.mail.message.uid")  # RFC 1939 7 (UIDL), RFC 9051 2.3.1.1
    size: int | None = attribute("sessionspan.mail.message.size")  # bytes of the whole message
    message_id: str | None = attribute("sessionspan.mail.message.id", Privacy.ADDRESS)  # without its brackets


@_event
class StoreMessageDelete(Event):
    """A stored message was deleted for good: marked and then expunged, not only marked."""

    name = "sessionspan.store.message.delete"
    shown = ("sessionspan.store.mailbox", "sessionspan.mail.message.uid")
    seed_names = SeedNames(popstore=("msg_delete",))
    log_id: str = made_attribute("sessionspan.store.log_id", log_id)
    mailbox: str | None = attribute("sessionspan.store.mailbox", Privacy.ADDRESS)
    uid: str | None = attribute("sessionspan.mail.message.uid")
    size: int | None = attribute("sessionspan.mail.message.size")


@_event
class StoreMessageStore(Event):
    """A client put a message into a mailbox (IMAP's APPEND)."""

    name = "sessionspan.store.message.store"
    shown = ("sessionspan.store.mailbox", "sessionspan.mail.message.uid", "sessionspan.mail.message.size")
    seed_names = SeedNames(popstore=("msg_store",))
    log_id: str = made_attribute("sessionspan.store.log_id", log_id)
    mailbox: str | None = attribute("sessionspan.store.mailbox", Privacy.ADDRESS)
    uid: str | None = attribute("sessionspan.mail.message.uid")  # RFC 4315 3: APPENDUID
    size: int | None = attribute("sessionspan.mail.message.size")
    message_id: str | None = attribute("sessionspan.mail.message.id", Privacy.ADDRESS)


# No protocol that we watch shows accounts being managed: a program that manages them records these itself.


@_event
class StoreUserCreate(Event):
    """An account was created."""

    name = "sessionspan.store.user.create"
    shown = ("sessionspan.store.user.name",)
    seed_names = SeedNames(popstore=("user_create",))
    log_id: str = made_attribute("sessionspan.store.log_id", log_id)
    user: str = attribute("sessionspan.store.user.name", Privacy.IDENTITY)
    profile: tuple[str, ...] | None = attribute("sessionspan.store.user.profile", Privacy.REMARK)


@_event
class StoreUserDelete(Event):
    """An account was deleted."""

    name = "sessionspan.store.user.delete"
    shown = ("sessionspan.store.user.name",)
    seed_names = SeedNames(popstore=("user_delete",))
    log_id: str = made_attribute("sessionspan.store.log_id", log_id)
    user: str = attribute("sessionspan.store.user.name", Privacy.IDENTITY)
    profile: tuple[str, ...] | None = attribute("sessionspan.store.user.profile", Privacy.REMARK)


@_event
class StoreUserModify(Event):
    """An account was changed; `profile` says how: ``quota:10240 -> 20480``."""

    name = "sessionspan.store.user.modify"
    shown = ("sessionspan.store.user.name",)
    seed_names = SeedNames(popstore=("user_modify",))
    log_id: str = made_attribute("sessionspan.store.log_id", log_id)
    user: str = attribute("sessionspan.store.user.name", Privacy.IDENTITY)
    profile: tuple[str, ...] | None = attribute("sessionspan.store.user.profile", Privacy.REMARK)
