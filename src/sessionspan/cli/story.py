"""A session span told in a few lines: what belongs together is folded into one, in the order in which it began.

Values only; `sessionspan.cli.tree` draws them. A span event has only the domains of mail addresses, by design:
the whole addresses are in the log events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.trace import Event, ReadableSpan

from sessionspan import names
from sessionspan.sinks.text import harmless

WORDS: Final = 8  # commands on a line
NAMES: Final = 3  # domains on a line


class Line(NamedTuple):
    """One line of the story; *at* is nanoseconds since the epoch."""

    at: int
    text: str
    style: str = ""


@dataclass
class _Commands:
    """Plain commands, one after the other."""

    at: int
    words: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[Line]:
        yield Line(self.at, " · ".join(folded(self.words)), "dim")


@dataclass
class _Said:
    """Something that is a line by itself."""

    at: int
    text: str
    style: str = ""

    def lines(self) -> Iterator[Line]:
        yield Line(self.at, self.text, self.style)


@dataclass
class _Mail:
    """One mail transaction."""

    at: int
    number: int
    commands: list[str] = field(default_factory=list)
    sender: str = ""
    recipients: list[str] = field(default_factory=list)  # their domains
    recipient_count: int = 0
    size: int = 0
    reply: str = ""
    ended: bool = False
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)  # (domain, reply) of a RCPT
    late: Counter[tuple[str, str]] = field(default_factory=Counter)  # the same, of the message itself

    def lines(self) -> Iterator[Line]:
        who = f"mail {self.number}" + (f" from {self.sender}" if self.sender else "")
        if self.recipient_count:
            to = f" to {_listed(self.recipients, self.recipient_count)}, {size(self.size)}"
            yield Line(self.at, f"{who}{to}: accepted {self.reply}", "green")
        elif self.reply:
            yield Line(self.at, f"{who}: refused at {self.reply}", "red")
        elif self.refused and not any(command.startswith("RCPT 2") for command in self.commands):
            yield Line(self.at, f"{who}: no recipient was accepted", "red")
        else:
            steps = " · ".join(folded(self.commands))
            yield Line(self.at, f"{who}: {steps}{'' if self.ended else ', never finished'}", "yellow")
        # RFC 2033 4.2: over LMTP a message may be accepted for some and refused for others.
        refused = self.refused + self.late if self.recipient_count else self.refused
        for (domain, reply), count in refused.items():
            whom = "a recipient" if count == 1 else f"{count} recipients"
            yield Line(self.at, f"   {whom}{f' at {domain}' if domain else ''} refused {reply}", "red")


class Story:
    """Reads the events of one session span."""

    def __init__(self, span: ReadableSpan) -> None:
        self._facts: Mapping[str, Any] = span.attributes or {}
        self._chapters: list[_Commands | _Said | _Mail] = []
        self._mails: dict[int, _Mail] = {}
        self._login: _Said | None = None  # the one whose AUTH is not answered yet
        for event in span.events:
            read = _READERS.get(event.name)
            if read is not None:
                read(self, event.timestamp, event.attributes or {})
            elif event.name not in _SILENT:
                self._plain(event)

    def lines(self) -> list[Line]:
        """The story but for its head and its end."""
        return [line for chapter in self._chapters for line in chapter.lines()]

    # One reader per event.

    def _command(self, at: int, event: Mapping[str, Any]) -> None:
        name = _text(event, "sessionspan.command.name") or "?"
        word = f"{name} {_reply(event) or '(no reply)'}"
        mail = self._mail(at, event) if name in ("MAIL", "RCPT", "DATA", "BDAT") else None
        if mail is not None:
            mail.commands.append(word)
        elif name == "AUTH" and self._login is not None:
            if _reply(event):
                self._login.text = f"{self._login.text.removesuffix(')')}, {_reply(event)})"
            self._login = None
        else:
            if name in ("RSET", "EHLO", "HELO", "LHLO"):  # RFC 5321 4.1.4, 4.1.1.5: given up by the client
                for mail in self._mails.values():
                    mail.ended = True
            self._word(at, word)

    def _plain(self, event: Event) -> None:
        self._word(event.timestamp, harmless(event.name.removeprefix("sessionspan."), 60))

    def _word(self, at: int, word: str) -> None:
        last = self._chapters[-1] if self._chapters else None
        if not isinstance(last, _Commands):
            last = _Commands(at)
            self._chapters.append(last)
        last.words.append(word)

    def _tls(self, at: int, event: Mapping[str, Any]) -> None:
        # A span event leaves out what stands on its span.
        found = {**self._facts, **event}
        version = _text(found, "tls.protocol.version") or "?"
        cipher = _text(found, "tls.cipher") or _text(found, "sessionspan.tls.cipher")
        resumed = ", resumed" if found.get("tls.resumed") else ""
        self._say(at, f"TLS {version} {cipher} ({_text(found, names.TLS_MODE)}{resumed})")

    def _tls_failed(self, at: int, event: Mapping[str, Any]) -> None:
        self._say(at, f"TLS failed: {_text(event, names.ERROR_TYPE)}", "red")

    def _login_accepted(self, at: int, event: Mapping[str, Any]) -> None:
        user = _text(event, names.USER_NAME)
        self._log_in(at, f"login{f' {user}' if user else ''} accepted", event, "green")

    def _login_failed(self, at: int, event: Mapping[str, Any]) -> None:
        domain = _text(event, "sessionspan.auth.user.name")
        whom = f" ...@{domain}" if domain else ""
        reason = _text({**self._facts, **event}, names.ERROR_TYPE) or "_OTHER"
        self._log_in(at, f"login{whom} failed: {reason}", event, "yellow")

    def _log_in(self, at: int, text: str, event: Mapping[str, Any], style: str) -> None:
        mechanism = _text(event, "sessionspan.auth.mechanism")
        self._login = self._say(at, f"{text} ({mechanism or 'unknown mechanism'})", style)

    def _received(self, at: int, event: Mapping[str, Any]) -> None:
        mail = self._mail(at, event)
        if mail is None:
            self._say(at, f"mail accepted {_reply(event)}", "green")
            return
        mail.sender = _text(event, "sessionspan.mail.sender")
        mail.recipients += [harmless(domain, 80) for domain in event.get("sessionspan.mail.recipients", ())]
        mail.recipient_count += _number(event, "sessionspan.mail.recipient.count")
        mail.size = _number(event, "sessionspan.mail.message.size")
        mail.reply = _reply(event)
        mail.ended = True

    def _rejected(self, at: int, event: Mapping[str, Any]) -> None:
        stage = _text(event, "sessionspan.mail.response.command")
        mail = self._mail(at, event)
        if mail is None:
            self._say(at, f"refused at {stage or 'the greeting'} {_reply(event)}", "red")
            return
        mail.sender = mail.sender or _text(event, "sessionspan.mail.sender")
        domain = _text(event, "sessionspan.mail.recipient")
        refused = mail.refused if stage == "RCPT" else mail.late
        known = (domain, _reply(event)) in refused
        refused[domain if known or len(refused) < NAMES else "", _reply(event)] += 1
        if stage != "RCPT":
            mail.ended = True
            if not mail.recipient_count:
                mail.reply = f"{'the final dot' if stage == '.' else stage} {_reply(event)}"

    def _raised(self, at: int, event: Mapping[str, Any]) -> None:
        self._say(at, f"the application raised {_text(event, 'exception.type')}", "red")

    def _mail(self, at: int, event: Mapping[str, Any]) -> _Mail | None:
        number = event.get("sessionspan.mail.transaction.sequence")
        if not isinstance(number, int):
            return None
        if number not in self._mails:
            self._mails[number] = _Mail(at, number)
            self._chapters.append(self._mails[number])
        return self._mails[number]

    def _say(self, at: int, text: str, style: str = "") -> _Said:
        said = _Said(at, text, style)
        self._chapters.append(said)
        return said


_READERS: Final[dict[str, Callable[[Story, int, Mapping[str, Any]], None]]] = {
    "sessionspan.command": Story._command,
    "sessionspan.tls.established": Story._tls,
    "sessionspan.tls.failure": Story._tls_failed,
    "sessionspan.auth.success": Story._login_accepted,
    "sessionspan.auth.failure": Story._login_failed,
    "sessionspan.mail.reception": Story._received,
    "sessionspan.mail.rejection": Story._rejected,
    "sessionspan.session.exception": Story._raised,
}
# The head and the end of the tree say these.
_SILENT: Final = ("sessionspan.session.start", "sessionspan.session.end", "sessionspan.auth.end")


def head(span: ReadableSpan) -> tuple[str, str, str]:
    """What it was, how it went, and how long it took with whom."""
    facts: Mapping[str, Any] = span.attributes or {}
    client_side = facts.get(names.SIDE) == "client"
    address = _text(facts, names.SERVER_ADDRESS if client_side else names.CLIENT_ADDRESS) or "unknown"
    hostname = _text(facts, names.PEER_HOSTNAME)
    # The user and the address are known; the name is what the peer says of itself.
    user = _text(facts, names.USER_NAME)
    whom = f"{f'{user} at ' if user else ''}{address}{f' ({hostname})' if hostname else ''}"
    took = seconds((span.end_time or 0) - (span.start_time or 0))
    return (
        f"{harmless(span.name, 40)} {_text(facts, names.SESSION_ID)[:8]}",
        _text(facts, names.OUTCOME) or "?",
        f"{took}, {'to ' if client_side else ''}{whom}",
    )


def end(span: ReadableSpan) -> Line:
    """Why it ended, and what it came to."""
    facts: Mapping[str, Any] = span.attributes or {}
    parts = [_text(facts, names.END_REASON) or "_OTHER"]
    commands, failed = _number(facts, names.COMMAND_COUNT), _number(facts, names.COMMAND_FAILED_COUNT)
    parts.append(f"{plural(commands, 'command')}{f', {failed} failed' if failed else ''}")
    accepted, rejected = _number(facts, names.MAIL_ACCEPTED_COUNT), _number(facts, names.MAIL_REJECTED_COUNT)
    if accepted or rejected:
        refusals = f", {plural(rejected, 'refusal')}" if rejected else ""
        parts.append(f"{plural(accepted, 'mail')}{refusals}")
    parts.append(size(_number(facts, names.RECEIVED_SIZE) + _number(facts, names.SENT_SIZE)))
    return Line(span.end_time or 0, " · ".join(parts), "bold")


def missing(span: ReadableSpan) -> int:
    """How many events are not on the span."""
    facts: Mapping[str, Any] = span.attributes or {}
    return _number(facts, names.EVENT_UNSPANNED_COUNT) + _number(facts, names.EVENT_DROPPED_COUNT)


def folded(words: list[str]) -> list[str]:
    """*words* with repetitions counted (``NOOP 250 x40``), and the middle of a long list left out."""
    runs: list[tuple[str, int]] = []
    for word in words:
        if runs and runs[-1][0] == word:
            runs[-1] = (word, runs[-1][1] + 1)
        else:
            runs.append((word, 1))
    shown = [word if count == 1 else f"{word} x{count}" for word, count in runs]
    if len(shown) <= WORDS:
        return shown
    left_out = sum(count for _, count in runs[WORDS - 2 : -1])
    return [*shown[: WORDS - 2], f"{left_out} more", shown[-1]]


def seconds(nanoseconds: int) -> str:
    """A time as people say it: ``35 ms``, ``2.1 s``, ``12 min``."""
    value = max(0, nanoseconds) / 1e9
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def size(octets: int) -> str:
    """A size as people say it: ``312 B``, ``4.7 kB``."""
    value, unit = float(octets), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{octets} B" if unit == "B" else f"{value:.1f} {unit}"


def plural(count: int, noun: str) -> str:
    """*count* of *noun*."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _listed(domains: list[str], count: int) -> str:
    distinct = list(dict.fromkeys(domains))
    shown = ", ".join(distinct[:NAMES]) + (", ..." if len(distinct) > NAMES else "")
    if count == 1:
        return shown or "1 recipient"
    return f"{count} recipients" + (f" at {shown}" if shown else "")


def _text(attributes: Mapping[str, Any], key: str) -> str:
    value = attributes.get(key)
    return "" if value is None else harmless(value, 80)


def _number(attributes: Mapping[str, Any], key: str) -> int:
    value = attributes.get(key)
    return value if isinstance(value, int) else 0


def _reply(event: Mapping[str, Any]) -> str:
    code = event.get("sessionspan.reply.code")
    if code is None:
        status = _text(event, "sessionspan.reply.status")
        return "" if status == "none" else status.upper()
    # The enhanced status says something new only about a refusal: 2xx are 2.x.x.
    enhanced = _text(event, "sessionspan.reply.enhanced_status")
    return f"{code} {enhanced}" if enhanced and not str(code).startswith("2") else str(code)
