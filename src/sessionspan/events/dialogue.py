"""What client and server say to each other."""

from __future__ import annotations

from sessionspan.events.event import Event, Privacy, SeedNames, attribute, event
from sessionspan.events.keys import COMMAND_TEXT, REPLY_CODE, REPLY_STATUS


@event
class Command(Event):
    """A client sent a command and the server replied, or the session ended before it did."""

    name = "sessionspan.command"
    vital = False
    audit = False
    shown = (
        "sessionspan.command.name",
        REPLY_CODE,
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
    reply_code: int | None = attribute(REPLY_CODE)
    reply_status: str = attribute(REPLY_STATUS, default="none")
    reply_enhanced_status: str | None = attribute("sessionspan.reply.enhanced_status")  # RFC 3463
    reply_response_code: str | None = attribute("sessionspan.reply.response_code")  # RFC 5530, 2449; else _OTHER
    reply_text: str | None = attribute("sessionspan.reply.text", Privacy.CONTENT)
    transaction: int | None = attribute("sessionspan.mail.transaction.sequence")
    # What the client calls itself (EHLO, HELO, LHLO).
    peer_hostname: str | None = attribute("sessionspan.peer.hostname", Privacy.HOST)


@event
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


@event
class IdleStart(Event):
    """A client waits for news (IMAP's IDLE, RFC 2177), and the server agreed."""

    name = "sessionspan.idle.start"
    vital = False
    audit = False


@event
class IdleEnd(Event):
    """A client waits for news no longer, or has gone."""

    name = "sessionspan.idle.end"
    vital = False
    audit = False
    shown = ("sessionspan.idle.duration",)
    duration: float = attribute("sessionspan.idle.duration")  # seconds
