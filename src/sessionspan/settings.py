"""Every ``SESSIONSPAN_*`` setting: its name, its values, its default and what it does. One table.

What ``OTEL_*`` already says is left to ``OTEL_*``.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final, NamedTuple, TypeAlias

from sessionspan import levels
from sessionspan.activities import ALL, parse_mask
from sessionspan.addresses import parse_ip
from sessionspan.devices import netconan, user_rules
from sessionspan.devices.user_rules import OwnRules, Unusable
from sessionspan.observers import OBSERVERS

_log = logging.getLogger("sessionspan")

_PREFIX: Final = "SESSIONSPAN_"
HASH_KEY_BYTES: Final = 16

Network: TypeAlias = IPv4Network | IPv6Network


def setting(
    variable: str,
    parse: Callable[[str], Any],
    default: str,
    values: str,
    meaning: str,
    *,
    secret: bool = False,
) -> Any:
    """A field of `Settings`, read from the environment variable *variable* by *parse*."""
    return dataclasses.field(
        default=parse(default),
        repr=not secret,
        metadata={
            "variable": variable,
            "parse": parse,
            "default": default,
            "values": values,
            "meaning": meaning,
            "secret": secret,
        },
    )


def one_of(*values: str) -> Callable[[str], str]:
    """A parser that takes *values*, in any case."""

    def parse(text: str) -> str:
        value = text.strip().lower()
        if value not in values:
            raise ValueError(f"must be one of {', '.join(v or 'empty' for v in values)}")
        return value

    return parse


def switch(text: str) -> bool:
    """Parse on/off and what people write for them."""
    value = text.strip().lower()
    if value in ("on", "true", "1", "yes"):
        return True
    if value in ("off", "false", "0", "no"):
        return False
    raise ValueError("must be on or off")


def count(text: str) -> int:
    """Parse a number of things, zero or more."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise ValueError("must be a whole number, 0 or more")
    return value


def key(text: str) -> bytes:
    """Parse a key for HMAC-SHA256; RFC 2104 3 discourages keys shorter than the hash, we refuse weak ones."""
    if text and len(text.encode()) < HASH_KEY_BYTES:
        raise ValueError(f"must have {HASH_KEY_BYTES} bytes or more")
    return text.encode()


def function(text: str) -> str:
    """Parse where a function is: ``package.module:function``."""
    place = text.strip()
    path = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
    if place and not re.fullmatch(f"{path}:{path}", place):
        raise ValueError("must be package.module:function")
    return place


def networks(text: str) -> tuple[Network, ...]:
    """Parse a comma list of networks in CIDR form (RFC 4632), or of single addresses."""
    found = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        try:
            found.append(ip_network(part, strict=False))
        except ValueError:
            raise ValueError(
                f"must be a comma list of networks such as 10.0.0.0/8, and {part!r} is none"
            ) from None
    return tuple(found)


class Partly(ValueError):
    """A text that could be read in part: ``value`` is what is in force, ``problems`` are what was left out."""

    def __init__(self, value: Any, problems: list[str]) -> None:
        super().__init__(*problems)
        self.value = value
        self.problems = problems


class ListedPort(NamedTuple):
    """A port that ``SESSIONSPAN_PORTS`` names: at any local address when *address* is None."""

    address: str | None
    port: int
    protocol: str  # in capitals

    def __str__(self) -> str:
        where = "" if self.address is None else f"[{self.address}]:" if ":" in self.address else f"{self.address}:"
        return f"{where}{self.port}:{self.protocol.lower()}"


_LISTED: Final = re.compile(r"(?:(\[[^][]*\]|[^][:]*):)?([^][:]*):([^][:]*)")


def ports(text: str) -> tuple[ListedPort, ...]:
    """Parse a comma list of ``PORT:PROTOCOL`` and ``ADDRESS:PORT:PROTOCOL`` (an IPv6 address in brackets)."""
    found: dict[tuple[str | None, int], ListedPort] = {}
    problems = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        try:
            listed = _listed_port(part)
            if found.setdefault(listed[:2], listed) is not listed:
                raise ValueError(f"{part.rpartition(':')[0]} is there already")
        except ValueError as error:
            problems.append(f"{part!r} is left out: {error}")
    listing = tuple(found.values())
    if problems:
        in_force = ",".join(map(str, listing)) or "no port"
        raise Partly(listing, [f"{problem}; in force: {in_force}." for problem in problems])
    return listing


def _listed_port(text: str) -> ListedPort:
    match = _LISTED.fullmatch(text)
    if match is None:
        raise ValueError("it must be PORT:PROTOCOL or ADDRESS:PORT:PROTOCOL")
    host, port, protocol = (group.strip() if group is not None else None for group in match.groups())
    address = parse_ip(host.strip("[]")) if host else None
    if host is not None and address is None:
        raise ValueError(f"{host or 'nothing'} is no IP address")
    if not port or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ValueError(f"{port or 'nothing'} is no port (1 to 65535)")
    if not protocol or protocol.upper() not in OBSERVERS:
        known = ", ".join(sorted(OBSERVERS)).lower()
        raise ValueError(f"{protocol or 'nothing'} is none of the protocols {known}")
    anywhere = address is None or address.is_unspecified
    return ListedPort(None if anywhere else str(address), int(port), protocol.upper())


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings in force; one instance per process, see `settings`."""

    backend: str = setting(
        "SESSIONSPAN_BACKEND",
        one_of("", "jaeger"),
        "",
        "jaeger",
        "A preset for the backend. `jaeger`: no logs and no metrics are exported, which Jaeger refuses; "
        "the events are on the span.",
    )
    events: str = setting(
        "SESSIONSPAN_EVENTS",
        one_of("logs", "span", "both"),
        "both",
        "logs, span, both",
        "Where events go: log records, span events on the session's span, or both.",
    )
    max_events: int = setting(
        "SESSIONSPAN_MAX_EVENTS",
        count,
        "10000",
        "a number",
        "Events of one session that are recorded; beyond it they are only counted, in "
        "`sessionspan.event.dropped.count`. Session, auth and mail events, and messages that are stored or "
        "deleted, have 10,000 of their own.",
    )
    ignore_clients: tuple[Network, ...] = setting(
        "SESSIONSPAN_IGNORE_CLIENTS",
        networks,
        "",
        "networks, comma separated",
        "Clients whose connections are no sessions: the health checks of a load balancer.",
    )
    ports: tuple[ListedPort, ...] = setting(
        "SESSIONSPAN_PORTS",
        ports,
        "",
        "`[ADDRESS:]PORT:PROTOCOL`, comma separated",
        "Servers of your own on asyncio or socketserver, by port, and what they speak: with `1143:imap,1110:pop3` "
        "each connection to these two ports is a session, without a line of code.",
    )
    identity: str = setting(
        "SESSIONSPAN_IDENTITY",
        one_of("plain", "hash", "off"),
        "plain",
        "plain, hash, off",
        "Addresses of clients, and users whose login was accepted. `hash`: HMAC-SHA256 with "
        "`SESSIONSPAN_HASH_KEY`, as `sessionspan.client.hash` and `user.hash`.",
    )
    envelope: str = setting(
        "SESSIONSPAN_ENVELOPE",
        one_of("plain", "domain", "hash", "off"),
        "plain",
        "plain, domain, hash, off",
        "Senders, recipients, the EHLO name, the user name of a failed login, Message-IDs, names of mailboxes. "
        "`plain`: whole in logs, the domain only on spans; the other values hold for both.",
    )
    capture: levels.Capture = setting(  # noqa: RUF009
        "SESSIONSPAN_CAPTURE",
        levels.parse,
        levels.DEFAULT,
        "off, metadata, commands, content; `selector=level`, comma separated",
        "What of the dialogue is recorded. `off`: commands and opened messages are only counted; "
        "`metadata`: their names, codes, sizes, durations; `commands`: and their text; `content`: and what was "
        "answered. Credentials at no level. "
        "Selectors: a protocol (`ssh`), `devices` (SSH, Telnet, serial), `host:10.0.0.0/8`, `host:*.lab.example`, "
        "`device:cisco_*`; of those that fit the last one counts. A host is the other end: a server's client, "
        "a client's server as it was asked for.",
    )
    interactions: bool = setting(
        "SESSIONSPAN_INTERACTIONS",
        switch,
        "off",
        "on, off",
        "For honeypots: an event `sessionspan.interaction` for what a client sent until it was answered, and the "
        "answer; their text with `SESSIONSPAN_CAPTURE=content`. See [A honeypot](honeypot.md).",
    )
    redact_rules: OwnRules | Unusable = setting(  # noqa: RUF009
        "SESSIONSPAN_REDACT_RULES",
        user_rules.parse,
        "",
        "a file, .json or .py",
        'Rules of your own for the text of devices, after ours: a list of `{"regex": ..., "replace": ...}`, as '
        "netutils takes it. A Python file is read, not run. While it cannot be used, no text of devices leaves.",
    )
    netconan: bool = setting(
        "SESSIONSPAN_NETCONAN",
        switch,
        "off",
        "on, off",
        "Whether netconan (`pip install 'sessionspan[netconan]'`) removes secrets from the text of devices, too, "
        "after our rules.",
    )
    hash_key: bytes = setting(
        "SESSIONSPAN_HASH_KEY",
        key,
        "",
        "16 bytes or more",
        "The key for `hash`. Without one, a class that shall be hashed is off.",
        secret=True,
    )
    unsampled: str = setting(
        "SESSIONSPAN_UNSAMPLED",
        one_of("all", "audit", "none"),
        "audit",
        "all, audit, none",
        "Which log events of a session whose span is not sampled are exported. `audit`: the session's end, "
        "logins, mail, stored messages and failures. Metrics count all.",
    )
    log_activity: str = setting(
        "SESSIONSPAN_LOG_ACTIVITY",
        function,
        "",
        "package.module:function",
        "A function of yours that is called with each activity and its data, as PMDF's popstore calls "
        "`log_activity`: one call at a time, in a thread of its own, so it may be slow.",
    )
    log_activity_mask: int = setting(
        "SESSIONSPAN_LOG_ACTIVITY_MASK",
        parse_mask,
        "-1",
        "a number (also 0x60), or names of activities, comma separated",
        "The activities that it is called with, by PMDF's bits; `start` and `end` always. `-1`: all.",
    )
    twisted_context: bool = setting(
        "SESSIONSPAN_TWISTED_CONTEXT",
        switch,
        "off",
        "on, off",
        "Whether Twisted carries the session into the callbacks of Deferreds, into `reactor.callLater` and "
        "`deferToThread`. Off, code that runs there has no current session; on, each Deferred costs more.",
    )
    sigterm: bool = setting(
        "SESSIONSPAN_SIGTERM",
        switch,
        "on",
        "on, off",
        "Whether SIGTERM ends open sessions and exports them (at most 1 s) before it ends the process. "
        "An application's own handler is never replaced.",
    )
    raises: bool = setting(
        "SESSIONSPAN_RAISE",
        switch,
        "off",
        "on, off",
        "For tests of instrumentations: failures of sessionspan raise instead of being counted.",
    )


def load(environ: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Read the settings from *environ*; with them one clear line for each name or value that is wrong."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    known = {field.metadata["variable"]: field for field in dataclasses.fields(Settings)}
    for variable in sorted(name for name in environ if name.startswith(_PREFIX)):
        field = known.get(variable)
        if field is None:
            problems.append(
                f"{variable} is no setting of sessionspan and does nothing{_nearest(variable, known)}."
            )
            continue
        try:
            values[field.name] = field.metadata["parse"](environ[variable])
        except Partly as partly:
            values[field.name] = partly.value
            problems += [f"{variable}: {problem}" for problem in partly.problems]
        except ValueError as error:
            shown = variable if field.metadata["secret"] else f"{variable}={environ[variable]!r}"
            default = field.metadata["default"] or "empty"
            problems.append(f"{shown}: it {error}; the default is used: {default}.")
    return _settled(Settings(**values), problems), problems


def _settled(found: Settings, problems: list[str]) -> Settings:
    """*found* without contradictions; each that was resolved is a line in *problems*."""
    without_key = "{0}=hash needs SESSIONSPAN_HASH_KEY; {0}=off is used."
    if found.identity == "hash" and not found.hash_key:
        problems.append(without_key.format("SESSIONSPAN_IDENTITY"))
        found = dataclasses.replace(found, identity="off")
    if found.envelope == "hash" and not found.hash_key:
        problems.append(without_key.format("SESSIONSPAN_ENVELOPE"))
        found = dataclasses.replace(found, envelope="off")
    if found.backend == "jaeger" and found.events == "logs":
        problems.append(
            "SESSIONSPAN_BACKEND=jaeger exports no logs and SESSIONSPAN_EVENTS=logs puts no events on spans, so "
            "there would be none; SESSIONSPAN_EVENTS=span is used."
        )
        found = dataclasses.replace(found, events="span")
    if found.log_activity_mask != ALL and not found.log_activity:
        problems.append("SESSIONSPAN_LOG_ACTIVITY_MASK does nothing without SESSIONSPAN_LOG_ACTIVITY.")
    if isinstance(found.redact_rules, Unusable):
        problems.append(
            f"SESSIONSPAN_REDACT_RULES={found.redact_rules.path!r}: it {found.redact_rules.reason}; until that is "
            "mended, no text of devices leaves."
        )
    if found.netconan and not netconan.installed():
        problems.append(
            f"SESSIONSPAN_NETCONAN=on needs netconan: {netconan.NEEDED}; until then, no text of devices leaves."
        )
        found = dataclasses.replace(found, redact_rules=Unusable("", "lacks netconan"))
    return found


def _nearest(variable: str, known: Mapping[str, object]) -> str:
    """The hint that a mistyped *variable* gets."""
    import difflib  # only on the way to a message

    names = [name.removeprefix(_PREFIX) for name in known]
    close = difflib.get_close_matches(variable.removeprefix(_PREFIX), names, 1)
    return f" (did you mean {_PREFIX}{close[0]}?)" if close else ""


_current: Settings | None = None


def settings() -> Settings:
    """The settings of this process, read once; what is wrong with them is logged then, a line each."""
    global _current
    if _current is None:
        _current, problems = load(os.environ)
        for problem in problems:
            _log.warning("sessionspan: %s", problem)
    return _current


def reload() -> Settings:
    """Read the environment again (tests, and programs that set it late)."""
    global _current
    _current = None
    return settings()
