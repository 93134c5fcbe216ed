"""Checks of the way out: where each signal goes, and whether it is taken there."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from sessionspan.cli.doctor.destinations import SIGNALS, Destination, destinations, exporters
from sessionspan.cli.doctor.findings import Finding, error, ok, warning
from sessionspan.cli.doctor.probes import Outcome, probe_all
from sessionspan.cli.doctor.subject import Subject


class Judgement(NamedTuple):
    """What an outcome means."""

    level: str
    what: str
    do: str = ""


_START: Final = (
    "Start the collector there, or say where it is:\nexport OTEL_EXPORTER_OTLP_ENDPOINT=http://host:4318"
)

# What came of an empty request: {detail} is what the other end said, {signal} and {SIGNAL} are the signal's name.
JUDGEMENTS: Final[dict[str, Judgement]] = {
    "accepted": Judgement("ok", "accepted"),
    "answered": Judgement("ok", "reached; an empty request is not to its liking ({detail})"),
    "refused": Judgement("error", "connection refused: nothing listens there", _START),
    "silent": Judgement(
        "error",
        "no answer within 2 s",
        "Look for a firewall, or a collector that hangs. The program is slow to exit while it is so.",
    ),
    "unresolved": Judgement("error", "the host is not known", "Correct the host, or its entry in the DNS."),
    "unreachable": Judgement("error", "the host cannot be reached", "Look for a firewall or a missing route."),
    "proxy": Judgement(
        "error",
        "the proxy of HTTP_PROXY or HTTPS_PROXY does not pass it on",
        "Add the collector's host to NO_PROXY.",
    ),
    "tls": Judgement(
        "error",
        "TLS: {detail}",
        "Name the authority of its certificate, or begin the endpoint with http:// if it speaks no TLS there.\n"
        "export OTEL_EXPORTER_OTLP_CERTIFICATE=/path/ca.pem",
    ),
    "certificate": Judgement(
        "error",
        "a file of OTEL_EXPORTER_OTLP_*CERTIFICATE or *CLIENT_KEY cannot be read",
        "Correct the path, or its permissions.",
    ),
    "credentials": Judgement(
        "error",
        "not allowed ({detail})",
        "Set the token, URL-encoded:\nexport OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer%20...'",
    ),
    "unsupported": Judgement("error", "not taken ({detail})", "Look at the path of the endpoint."),
    "protocol": Judgement(
        "error",
        "it speaks {detail} there",
        "export OTEL_EXPORTER_OTLP_PROTOCOL={detail}\n"
        "Or use its other port: by custom 4318 is http/protobuf, 4317 is grpc.",
    ),
    "unknown_protocol": Judgement(
        "error",
        "OpenTelemetry for Python does not have the protocol {detail}",
        "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
    ),
    "endpoint": Judgement(
        "error", "this is no URL", "It begins with http:// or https://, and then comes the host."
    ),
    "busy": Judgement("warning", "too busy just now ({detail})", "Exporters try again; look at the collector."),
    "unclear": Judgement(
        "warning", "not understood: {detail}", "Check that an OTLP receiver listens at this host, port and path."
    ),
}


@lru_cache(maxsize=1)
def outcomes(wanted: tuple[Destination, ...]) -> tuple[Outcome, ...]:
    """What comes of an empty request to each of *wanted*; asked once."""
    return tuple(probe_all(wanted))


def tried(subject: Subject) -> list[tuple[Destination, Outcome | None]]:
    """Every exporter, with what came of it; None where there is nothing to try."""
    found = [] if subject.variable("OTEL_CONFIG_FILE") else destinations(subject.effective)
    asked = tuple(each for each in found if each.otlp)
    answers = dict(zip(map(id, asked), outcomes(asked), strict=True))
    return [(each, answers.get(id(each))) for each in found]


def config_file(subject: Subject) -> Iterator[Finding]:
    """One file that says it all, in place of the variables."""
    if subject.variable("OTEL_CONFIG_FILE"):
        made = subject.answer.get("exporters", {})
        names = "; ".join(f"{signal}: {', '.join(each) or 'none'}" for signal, each in made.items())
        yield warning(
            "export.config_file",
            f"OTEL_CONFIG_FILE={subject.variable('OTEL_CONFIG_FILE')} alone says where signals go; other OTEL_* "
            f"variables are not read ({names or 'exporters not known'}).",
            "The doctor cannot try those endpoints: look at the file.",
        )


def signals(subject: Subject) -> Iterator[Finding]:
    """Each signal: where it goes, and what came of a request."""
    every = tried(subject)
    taken = {each.signal: outcome.kind for each, outcome in every if outcome is not None}
    for each, outcome in every:
        yield _elsewhere(subject, each) if outcome is None else _judged(each, outcome, taken)


def _elsewhere(subject: Subject, each: Destination) -> Finding:
    """An exporter that is not OTLP's."""
    known = subject.answer.get("known_exporters", {}).get(each.signal)
    if known is None or each.exporter in known:
        return ok("export.elsewhere", f"{each.signal} → the exporter {each.exporter}.")
    close = difflib.get_close_matches(each.exporter, known, 1) or ["otlp"]
    return error(
        "export.unknown",
        f"OTEL_{each.signal.upper()}_EXPORTER names {each.exporter!r}, which is not installed; with it the whole "
        "set-up fails, for all signals.",
        f"export OTEL_{each.signal.upper()}_EXPORTER={close[0]}\nInstalled are {', '.join(known)}.",
    )


def _judged(each: Destination, outcome: Outcome, taken: dict[str, str]) -> Finding:
    """What *outcome* means for *each*, when the signals that are *taken* are."""
    extras = [f"headers {', '.join(sorted(dict(each.headers)))}"] if each.headers else []
    extras += [each.compression] if each.compression not in ("", "none") else []
    place = f"{each.signal} → {' '.join([each.protocol, each.shown])}" + "".join(f", {one}" for one in extras)
    judgement = JUDGEMENTS[outcome.kind]
    id = f"export.{outcome.kind}"
    if outcome.kind == "unsupported" and taken.get("traces") in ("accepted", "answered"):
        id, judgement = _refused_by_a_backend_for_traces(each.signal, taken)
    words = {"detail": outcome.detail, "signal": each.signal, "SIGNAL": each.signal.upper()}
    what = f"{place}: {judgement.what.format(**words)}."
    return Finding(id, judgement.level, what, judgement.do.format(**words))


def _refused_by_a_backend_for_traces(signal: str, taken: dict[str, str]) -> tuple[str, Judgement]:
    what = "traces are accepted, {signal} refused ({detail})"
    if taken.get("logs") == "unsupported":
        return "export.jaeger", Judgement(
            "warning",
            f"{what}: a backend like Jaeger",
            "export SESSIONSPAN_BACKEND=jaeger\nThe events are on the span."
            if taken.get("metrics", "unsupported") == "unsupported"
            else "export OTEL_LOGS_EXPORTER=none\nThe events are on the span.",
        )
    return "export.unsupported", Judgement("warning", what, "export OTEL_{SIGNAL}_EXPORTER=none")


def headers(subject: Subject) -> Iterator[Finding]:
    """Headers that are not sent, or that anybody can read on the way."""
    otlp = [each for each, outcome in tried(subject) if outcome is not None]
    broken = max((each.broken_headers for each in otlp), default=0)
    if broken:
        yield error(
            "export.headers",
            f"{broken} of the entries in OTEL_EXPORTER_OTLP_*HEADERS is no name=value, and is not sent.",
            "Write them URL-encoded, with a comma between two:\n"
            "export OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer%20...'",
        )
    bare = sorted({each.host for each in otlp if each.headers and not each.secure and not _is_near(each.host)})
    if bare:
        yield warning(
            "export.cleartext",
            f"The values of the headers go unencrypted to {', '.join(bare)}.",
            "Use an https:// endpoint, or a collector on this host that holds the token.",
        )


def _is_near(host: str) -> bool:
    return host in ("localhost", "::1", "") or host.startswith("127.")


def nowhere(subject: Subject) -> Iterator[Finding]:
    """Signals that are switched off, and events that end up on nothing."""
    if subject.variable("OTEL_CONFIG_FILE"):
        return
    on = [signal for signal in SIGNALS if exporters(signal, subject.effective)]
    for name in (f"OTEL_{signal.upper()}_EXPORTER" for signal in SIGNALS):
        if name in subject.environ and not subject.environ[name].strip():
            yield warning(
                "export.empty",
                f"{name} is set, and empty: this signal is not exported.",
                f"unset {name}\nOr, when that is meant: {name}=none",
            )
    if not on:
        yield error(
            "export.nowhere",
            "Nothing is exported: OTEL_TRACES_EXPORTER, OTEL_LOGS_EXPORTER and OTEL_METRICS_EXPORTER are all off.",
            "unset OTEL_TRACES_EXPORTER OTEL_LOGS_EXPORTER OTEL_METRICS_EXPORTER\n"
            "Or watch them in the terminal: sessionspan run --console",
        )
        return
    if len(on) < len(SIGNALS):
        yield ok("export.off", f"Not exported: {', '.join(signal for signal in SIGNALS if signal not in on)}.")
    yield from _no_events(subject, on)


def _no_events(subject: Subject, on: Sequence[str]) -> Iterator[Finding]:
    carriers = {"logs": ("logs",), "span": ("traces",), "both": ("logs", "traces")}[subject.settings.events]
    if not any(signal in on for signal in carriers):
        yield warning(
            "export.no_events",
            f"SESSIONSPAN_EVENTS={subject.settings.events} puts events on {' and '.join(carriers)}, which are not "
            "exported: no event arrives.",
            "unset SESSIONSPAN_EVENTS",
        )


CHECKS: Final = (config_file, signals, headers, nowhere)
