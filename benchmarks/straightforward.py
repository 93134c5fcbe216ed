"""The same records by the obvious means, to compare with: wrapt, the SDK's API, a span that is made current.

This is how a contributor to opentelemetry-python-contrib would write it: async wrappers around the methods
of aiosmtpd's SMTP class, ``use_span`` around what they await, ``Logger.emit`` of a LogRecord. It says what
sessionspan says of a session with one message, and no more: no AUTH, TLS, PROXY or LMTP, no redaction, no
limits, no session that is left open at exit.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import trace
from opentelemetry._logs import Logger, LogRecord, SeverityNumber, get_logger
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Tracer
from wrapt import wrap_function_wrapper

_COMMANDS: Final = ("HELO", "EHLO", "NOOP", "QUIT", "HELP", "VRFY", "MAIL", "RCPT", "RSET", "DATA")
_IN_TRANSACTION: Final = ("MAIL", "RCPT", "DATA")


class Telemetry:
    """Speaks of one connection."""

    def __init__(self, instrumentation: Instrumentation, transport: Any) -> None:
        self._logger = instrumentation.logger
        self._logs = instrumentation.logs
        self._on_span = instrumentation.on_span
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        session_id = str(uuid.uuid4())
        self.started = time.monotonic()
        self.received = self.sent = self.commands = self.failed = self.accepted = self.rejected = self.events = 0
        self.transactions = 0
        self.reply = ""
        self.hostname: str | None = None
        self.ended = False
        self.identity: dict[str, Any] = {
            "sessionspan.session.id": session_id,
            "sessionspan.side": "server",
            "network.protocol.name": "smtp",
            "client.address": peer[0],
            "client.port": peer[1],
            "sessionspan.auth.sequence": 0,
        }
        self.facts: dict[str, Any] = {
            "network.transport": "tcp",
            "sessionspan.tls.mode": "none",
            "network.peer.address": peer[0],
            "network.peer.port": peer[1],
            "network.local.address": local[0],
            "network.local.port": local[1],
        }
        on_span = {**self.identity, **self.facts}
        del on_span["sessionspan.auth.sequence"]
        on_span |= {"session_id": session_id, "client_ip": peer[0], "protocol": "SMTP"}
        self.span: Span = instrumentation.tracer.start_span(
            "SMTP session", context=Context(), kind=SpanKind.SERVER, attributes=on_span
        )
        self.event("sessionspan.session.start", f"session.start {peer[0]} {local[1]}", self.facts, {})

    def event(
        self, name: str, body: str, attributes: Mapping[str, Any], on_span: Mapping[str, Any] | None = None
    ) -> None:
        """Emit an event; *on_span* are its attributes there, if they differ."""
        self.events += 1
        if self._logs:
            self._logger.emit(
                LogRecord(
                    timestamp=time.time_ns(),
                    context=trace.set_span_in_context(self.span),
                    severity_number=SeverityNumber.INFO,
                    body=body,
                    attributes={**self.identity, **attributes},
                    event_name=name,
                )
            )
        if self._on_span:
            shown = attributes if on_span is None else on_span
            self.span.add_event(name, {"sessionspan.auth.sequence": 0, **shown})

    def command(self, verb: str, duration: float) -> None:
        """A command was answered."""
        code = int(self.reply[:3])
        attributes: dict[str, Any] = {
            "sessionspan.command.name": verb,
            "sessionspan.command.sequence": self.commands,
            "sessionspan.command.duration": duration,
            "sessionspan.reply.code": code,
            "sessionspan.reply.status": f"{code // 100}xx",
        }
        enhanced = enhanced_status(self.reply)
        if enhanced is not None:
            attributes["sessionspan.reply.enhanced_status"] = enhanced
        if verb in _IN_TRANSACTION:
            attributes["sessionspan.mail.transaction.sequence"] = self.transactions
        on_span = None
        if verb in ("HELO", "EHLO") and code == 250:
            self.span.set_attribute("sessionspan.peer.hostname", self.hostname or "")
            on_span = dict(attributes)
            attributes["sessionspan.peer.hostname"] = self.hostname
        body = " ".join(filter(None, ("command", verb, str(code), enhanced, f"{duration * 1000:.1f} ms")))
        self.event("sessionspan.command", body, attributes, on_span)

    def reception(self, sender: str, recipients: list[str], size: int) -> None:
        """A message was accepted."""
        self.accepted += 1
        attributes: dict[str, Any] = {
            "sessionspan.mail.spool.id": uuid.uuid4().hex,
            "sessionspan.mail.sender": sender,
            "sessionspan.mail.recipients": recipients,
            "sessionspan.mail.recipient.count": len(recipients),
            "sessionspan.mail.message.size": size,
            "sessionspan.mail.reception.protocol": "ESMTP",
            "sessionspan.mail.response.command": ".",
            "sessionspan.reply.code": 250,
            "sessionspan.reply.status": "2xx",
            "sessionspan.reply.enhanced_status": enhanced_status(self.reply),
            "sessionspan.mail.transaction.sequence": self.transactions,
            "sessionspan.command.sequence": self.commands,
        }
        # On the span the domains only.
        on_span = attributes | {
            "sessionspan.mail.sender": sender.rpartition("@")[2],
            "sessionspan.mail.recipients": [recipient.rpartition("@")[2] for recipient in recipients],
        }
        attributes["sessionspan.peer.hostname"] = self.hostname
        attributes["sessionspan.reply.text"] = self.reply[4:]
        body = f"mail.reception {sender} {', '.join(recipients)} {size} B 250"
        self.event("sessionspan.mail.reception", body, attributes, on_span)

    def end(self) -> None:
        """The connection is over."""
        if self.ended:
            return
        self.ended = True
        duration = time.monotonic() - self.started
        ending: dict[str, Any] = {
            "sessionspan.command.count": self.commands,
            "sessionspan.command.failed.count": self.failed,
            "sessionspan.auth.attempt.count": 0,
            "sessionspan.auth.user.count": 0,
            "sessionspan.received.size": self.received,
            "sessionspan.sent.size": self.sent,
            "sessionspan.mail.accepted.count": self.accepted,
            "sessionspan.mail.rejected.count": self.rejected,
            "sessionspan.event.count": self.events + 1,
            "sessionspan.event.dropped.count": 0,
            "sessionspan.outcome": "ok",
            "sessionspan.end_reason": "quit",
            "sessionspan.session.duration": duration,
        }
        if self._on_span:
            ending["sessionspan.event.unspanned.count"] = 0
        self.span.set_attributes(ending)
        if self.hostname is not None:
            ending["sessionspan.peer.hostname"] = self.hostname
        body = f"session.end ok quit {duration * 1000:.1f} ms"
        self.event("sessionspan.session.end", body, {**self.facts, **ending}, {})
        self.span.end()


class Instrumentation:
    """The wrappers, with the tracer and the logger that they use."""

    def __init__(self, logs: bool, on_span: bool) -> None:
        self.logs = logs
        self.on_span = on_span
        self.tracer: Tracer = trace.get_tracer(__name__)
        self.logger: Logger = get_logger(__name__)

    def connection_made(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Around ``SMTP.connection_made``."""
        telemetry = instance._telemetry = Telemetry(self, args[0])
        with trace.use_span(telemetry.span, end_on_exit=False):
            return wrapped(*args, **kwargs)

    def connection_lost(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Around ``SMTP.connection_lost``."""
        try:
            return wrapped(*args, **kwargs)
        finally:
            instance._telemetry.end()

    async def push(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Around ``SMTP.push``: what the server answers."""
        telemetry, status = instance._telemetry, args[0]
        telemetry.reply = status if isinstance(status, str) else status.decode()
        telemetry.sent += len(status) + 2
        return await wrapped(*args, **kwargs)

    async def command(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Around ``SMTP.smtp_*``: what the client asks."""
        verb = wrapped.__name__.removeprefix("smtp_")
        telemetry: Telemetry = instance._telemetry
        telemetry.commands += 1
        telemetry.received += len(verb) + len(args[0] or "") + 3
        telemetry.transactions += verb == "MAIL"
        envelope = instance.envelope
        started = time.monotonic()
        with trace.use_span(telemetry.span, end_on_exit=False):
            result = await wrapped(*args, **kwargs)
        duration = time.monotonic() - started
        accepted = telemetry.reply.startswith("2")
        telemetry.failed += not accepted
        if verb in ("HELO", "EHLO"):
            telemetry.hostname = args[0]
        elif verb == "DATA":
            content = envelope.original_content or b""
            telemetry.received += len(content) + 3
            if accepted:
                telemetry.reception(envelope.mail_from, envelope.rcpt_tos, len(content))
            else:
                telemetry.rejected += 1
        telemetry.command(verb, duration)
        return result


def enhanced_status(reply: str) -> str | None:
    """The enhanced status in *reply* (RFC 3463)."""
    word = reply[4:].partition(" ")[0]
    return word if word.count(".") == 2 and word.replace(".", "").isdigit() else None


def instrument(*, logs: bool, on_span: bool) -> None:
    """Wrap aiosmtpd."""
    instrumentation = Instrumentation(logs, on_span)
    module = "aiosmtpd.smtp"
    wrap_function_wrapper(module, "SMTP.connection_made", instrumentation.connection_made)
    wrap_function_wrapper(module, "SMTP.connection_lost", instrumentation.connection_lost)
    wrap_function_wrapper(module, "SMTP.push", instrumentation.push)
    for verb in _COMMANDS:
        wrap_function_wrapper(module, f"SMTP.smtp_{verb}", instrumentation.command)
