"""Checks of the settings: what is recorded, what leaves, and what is cut away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sessionspan.activities import selected
from sessionspan.cli.doctor.findings import Finding, error, ok, warning
from sessionspan.cli.doctor.subject import Subject
from sessionspan.devices.user_rules import Unusable
from sessionspan.settings import load
from sessionspan.span_events import FIRST, LAST

# What each privacy class means, by its setting in force.
_MEANS: Final[dict[str, dict[str, str]]] = {
    "identity": {
        "plain": "Addresses of clients and users who logged in leave as they are.",
        "hash": "Addresses of clients and users who logged in leave as keyed hashes only.",
        "off": "Addresses of clients and users who logged in do not leave.",
    },
    "envelope": {
        "plain": "Senders, recipients, EHLO names, Message-IDs, names of mailboxes and failed user names leave "
        "whole in logs; on spans only their domain.",
        "domain": "Of senders, recipients, EHLO names, Message-IDs and failed user names only the domain leaves; "
        "names of mailboxes do not.",
        "hash": "Senders, recipients, EHLO names, Message-IDs, names of mailboxes and failed user names leave as "
        "keyed hashes only.",
        "off": "Senders, recipients, EHLO names, Message-IDs, names of mailboxes and failed user names do not "
        "leave.",
    },
}
_CAPTURED: Final = {
    "off": "Commands and opened messages are counted, not recorded.",
    "metadata": "Of commands leave their names, reply codes, sizes and durations, not their text.",
    "commands": "The text of commands leaves, credentials apart.",
    "content": "The text of commands and of what was answered leaves, credentials apart.",
}


def problems(subject: Subject) -> Iterator[Finding]:
    """Every line that `settings.load` has to say."""
    for line in load(subject.effective)[1]:
        yield warning("settings.problem", line, "docs/settings.md has every name and its values.")


def classes(subject: Subject) -> Iterator[Finding]:
    """What leaves, by class."""
    yield ok("privacy.credentials", "Credentials and message content are recorded in no form, at no setting.")
    for name, means in _MEANS.items():
        value = getattr(subject.settings, name)
        yield ok(f"privacy.{name}", f"SESSIONSPAN_{name.upper()}={value}: {means[value]}")
    capture = subject.settings.capture
    told = [_CAPTURED[capture.base], *(f"Of {rule.selector}: {_CAPTURED[rule.level]}" for rule in capture.rules)]
    yield ok("privacy.capture", f"SESSIONSPAN_CAPTURE={capture}: {' '.join(told)}")
    if subject.settings.hash_key and "hash" not in (subject.settings.identity, subject.settings.envelope):
        yield warning(
            "privacy.hash_key",
            "SESSIONSPAN_HASH_KEY is set, and nothing is hashed with it.",
            "export SESSIONSPAN_IDENTITY=hash SESSIONSPAN_ENVELOPE=hash",
        )


def devices(subject: Subject) -> Iterator[Finding]:
    """What removes secrets from the text of devices; a file that cannot be used is one of the `problems`."""
    own = subject.settings.redact_rules
    if isinstance(own, Unusable):
        return
    parts = ["known credentials and our rules"]
    if own:
        parts.append(f"{len(own)} rule{'s' * (len(own) > 1)} of yours (SESSIONSPAN_REDACT_RULES)")
    if subject.settings.netconan:
        parts.append("netconan (SESSIONSPAN_NETCONAN)")
    yield ok("privacy.devices", f"Secrets are removed from the text of devices by {', '.join(parts)}.")


def log_lines(subject: Subject) -> Iterator[Finding]:
    """The program's own log leaves as well, by OpenTelemetry's handler."""
    if not subject.answer or not subject.answer["log_handler"]:
        return
    if subject.variable("OTEL_LOGS_EXPORTER") in ("", "none"):
        return
    level = subject.variable("OTEL_PYTHON_LOG_HANDLER_LEVEL") or "all that its loggers let through"
    yield ok(
        "privacy.log_lines",
        f"The program's own log leaves with the events ({level}); lines that quote a peer's protocol do not.",
        "Not wanted? export OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION=false",
    )


def activities(subject: Subject) -> Iterator[Finding]:
    """A function of the site's own that gets activities."""
    place = subject.settings.log_activity
    if not place:
        return
    if subject.answer and not subject.answer["activity_module"]:
        yield error(
            "activities.module",
            f"SESSIONSPAN_LOG_ACTIVITY={place}: the program finds no such module, so no activities are logged.",
            "Put its folder on PYTHONPATH, or install it beside the program.",
        )
        return
    yield ok(
        "privacy.activities",
        f"{place} is called with what log events may hold, for the activities "
        f"{', '.join(selected(subject.settings.log_activity_mask))}.",
    )


def ignored_clients(subject: Subject) -> Iterator[Finding]:
    """Clients of which nothing is recorded."""
    networks = subject.settings.ignore_clients
    if any(network.prefixlen == 0 for network in networks):
        yield warning(
            "clients.ignored",
            "SESSIONSPAN_IGNORE_CLIENTS holds every address: no session is recorded.",
            "Name the networks of the health checks only.",
        )
    elif networks:
        yield ok(
            "clients.ignored",
            f"Connections from {', '.join(map(str, networks))} are not recorded, nor what a proxy in there "
            "sends (SESSIONSPAN_IGNORE_CLIENTS).",
        )


def switches(subject: Subject) -> Iterator[Finding]:
    """Settings that are not for production."""
    if subject.settings.raises:
        yield warning(
            "settings.raise",
            "SESSIONSPAN_RAISE=on: a failure of ours would raise in the program.",
            "unset SESSIONSPAN_RAISE",
        )
    if not subject.settings.sigterm:
        yield ok(
            "settings.sigterm",
            "SESSIONSPAN_SIGTERM=off: sessions open at SIGTERM are lost, unless the program ends in order.",
        )


def limits(subject: Subject) -> Iterator[Finding]:
    """Limits that cut sessions short."""
    events = subject.variable("OTEL_SPAN_EVENT_COUNT_LIMIT") or subject.variable("OTEL_EVENT_COUNT_LIMIT")
    if events.isdigit() and int(events) < FIRST + LAST:
        yield warning(
            "limits.span_events",
            f"OTEL_SPAN_EVENT_COUNT_LIMIT={events}: a span keeps no more than that many of its session's events.",
            "unset OTEL_SPAN_EVENT_COUNT_LIMIT\nOr look for them in the logs.",
        )
    if subject.settings.max_events < FIRST + LAST:
        yield warning(
            "limits.max_events",
            f"SESSIONSPAN_MAX_EVENTS={subject.settings.max_events}: a session's other commands are only counted.",
            "unset SESSIONSPAN_MAX_EVENTS",
        )


def sampling(subject: Subject) -> Iterator[Finding]:
    """Sessions without a span."""
    sampler = subject.variable("OTEL_TRACES_SAMPLER")
    share = subject.variable("OTEL_TRACES_SAMPLER_ARG")
    if sampler.endswith("always_off") or (sampler.endswith("traceidratio") and share not in ("", "1", "1.0")):
        yield warning(
            "sampling",
            f"OTEL_TRACES_SAMPLER={sampler} {share}".rstrip() + ": sessions that are not sampled have no span; of "
            f"their log events {subject.settings.unsampled} are exported (SESSIONSPAN_UNSAMPLED).",
            "unset OTEL_TRACES_SAMPLER",
        )


CHECKS: Final = (
    problems,
    classes,
    devices,
    log_lines,
    activities,
    ignored_clients,
    switches,
    limits,
    sampling,
)
