"""How much of a dialogue is recorded: one scale, and which level holds for which session.

``SESSIONSPAN_CAPTURE`` is a comma list. A level alone is for all; ``selector=level`` for what the selector names:
a protocol (``ssh``), ``devices`` (SSH, Telnet and serial), ``host:`` with an address, a network or a name, or
``device:`` with a type of device; names may hold ``*``. Of the selectors that fit, the last one counts.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_network
from typing import Final, NamedTuple, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry.context import attach, detach, get_value, set_value

from sessionspan.addresses import parse_ip

LEVELS: Final = ("off", "metadata", "commands", "content")
DEFAULT: Final = "metadata,devices=commands"
DEVICES: Final = frozenset(("ssh", "telnet", "serial"))
PROTOCOLS: Final = DEVICES | {
    *("smtp", "lmtp", "imap", "pop3", "managesieve", "ftp"),
    *("http", "jmap", "websocket"),
}
_KEY: Final = otel_context.create_key("sessionspan-capture")


class Subject(NamedTuple):
    """What a selector asks of a session: its protocol in lower case, the machine at the other end, its type."""

    protocol: str
    host: str | None = None
    device: str | None = None


_Fits: TypeAlias = Callable[[Subject], bool]


@dataclass(frozen=True)
class _Rule:
    selector: str
    level: str

    def fits(self, subject: Subject) -> bool:
        return _selector(self.selector)(subject)


@dataclass(frozen=True)
class Capture:
    """The setting ``SESSIONSPAN_CAPTURE``: the level for all, and the rules that say something else."""

    base: str
    rules: tuple[_Rule, ...] = ()

    def __str__(self) -> str:
        return ",".join((self.base, *(f"{rule.selector}={rule.level}" for rule in self.rules)))

    def level(self, subject: Subject) -> str:
        """The level for sessions of *subject*."""
        return next((rule.level for rule in reversed(self.rules) if rule.fits(subject)), self.base)

    @functools.cached_property
    def by_protocol(self) -> dict[str, str]:
        """The levels of the protocols, where the rules ask for nothing else."""
        if any(":" in rule.selector for rule in self.rules):
            return {}
        return {protocol: self.level(Subject(protocol)) for protocol in PROTOCOLS}


def parse(text: str) -> Capture:
    """Parse the setting; raise ValueError with what is wrong."""
    base, rules = None, []
    for entry in filter(None, (part.strip().lower() for part in text.split(","))):
        selector, found, level = entry.rpartition("=")
        if level not in LEVELS:
            raise ValueError(f"has the levels {', '.join(LEVELS)}, and {level!r} is none")
        if found:
            _selector(selector)
            rules.append(_Rule(selector, level))
        else:
            base = level
    if base is None:  # only exceptions were named: those to the default
        default = parse(DEFAULT)
        return Capture(default.base, (*default.rules, *rules))
    return Capture(base, tuple(rules))


@functools.lru_cache(maxsize=256)
def _selector(text: str) -> _Fits:
    kind, colon, wanted = text.partition(":")
    if colon and kind == "host" and wanted:
        return _host(wanted)
    if colon and kind == "device" and wanted:
        return lambda subject: subject.device is not None and fnmatchcase(subject.device.lower(), wanted)
    if text == "devices":
        return lambda subject: subject.protocol in DEVICES
    if text not in PROTOCOLS:
        raise ValueError(
            f"has selectors such as ssh, devices, host:10.0.0.0/8 or device:cisco_*, and {text!r} is none"
        )
    return lambda subject: subject.protocol == text


def _host(wanted: str) -> _Fits:
    try:
        network = ip_network(wanted, strict=False)
    except ValueError:
        return lambda subject: subject.host is not None and fnmatchcase(subject.host.lower(), wanted)

    def fits(subject: Subject) -> bool:
        address = parse_ip(subject.host) if subject.host is not None else None
        return address is not None and address in network

    return fits


@contextlib.contextmanager
def capture(level: str) -> Iterator[None]:
    """Let sessions that open in this block have *level*, for as long as they live, whatever the setting says.

    *level* is off, metadata, commands or content; anything else raises ValueError. With ``off`` a session has
    its span, its start and end and its logins; commands are only counted.
    """
    if level not in LEVELS:
        raise ValueError(f"a level is one of {', '.join(LEVELS)}, not {level!r}")
    token = attach(set_value(_KEY, level))
    try:
        yield
    finally:
        detach(token)


def level_in_context() -> str | None:
    """The level of the `capture` block in which this code runs, if any."""
    level = get_value(_KEY)
    return level if isinstance(level, str) else None
