"""Messages that were accepted or refused."""

from __future__ import annotations

from sessionspan.events.event import Event, Privacy, SeedNames, attribute, event
from sessionspan.events.keys import REPLY_CODE, REPLY_STATUS


@event
class MailReception(Event):
    """A message was accepted. Over LMTP one event per accepted recipient (RFC 2033 4.2)."""

    name = "sessionspan.mail.reception"
    shown = (
        "sessionspan.mail.sender",
        "sessionspan.mail.recipients",
        "sessionspan.mail.message.size",
        REPLY_CODE,
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
    reply_code: int | None = attribute(REPLY_CODE)
    reply_status: str = attribute(REPLY_STATUS)
    reply_enhanced_status: str | None = attribute("sessionspan.reply.enhanced_status")
    reply_text: str | None = attribute("sessionspan.reply.text", Privacy.REMARK)
    transaction: int = attribute("sessionspan.mail.transaction.sequence")
    sequence: int = attribute("sessionspan.command.sequence")


@event
class MailRejection(Event):
    """A 4xx or 5xx reply to the greeting, MAIL, RCPT, DATA, BDAT or the final dot."""

    name = "sessionspan.mail.rejection"
    refusal = True
    shown = (
        "sessionspan.mail.response.command",
        "sessionspan.mail.recipient",
        REPLY_CODE,
        "sessionspan.reply.enhanced_status",
    )
    seed_names = SeedNames(kumomta=("Rejection",))
    sender: str | None = attribute("sessionspan.mail.sender", Privacy.ADDRESS)
    recipient: str | None = attribute("sessionspan.mail.recipient", Privacy.ADDRESS)
    reception_protocol: str = attribute("sessionspan.mail.reception.protocol")
    peer_hostname: str | None = attribute("sessionspan.peer.hostname", Privacy.HOST)
    response_command: str | None = attribute("sessionspan.mail.response.command")  # `.` is the final dot
    reply_code: int | None = attribute(REPLY_CODE)
    reply_status: str = attribute(REPLY_STATUS)
    reply_enhanced_status: str | None = attribute("sessionspan.reply.enhanced_status")
    reply_text: str | None = attribute("sessionspan.reply.text", Privacy.REMARK)
    transaction: int | None = attribute("sessionspan.mail.transaction.sequence")
    sequence: int | None = attribute("sessionspan.command.sequence")
