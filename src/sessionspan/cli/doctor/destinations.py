"""Where each signal goes: exporter, protocol, endpoint, headers, as the stock exporters read ``OTEL_*``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from sessionspan.cli.doctor.findings import is_header_name

SIGNALS: Final = ("traces", "logs", "metrics")
HTTP: Final = "http/protobuf"
GRPC: Final = "grpc"

# What the names of exporters mean; None: as OTEL_EXPORTER_OTLP_*PROTOCOL says.
_OTLP: Final[dict[str, str | None]] = {"otlp": None, "otlp_proto_http": HTTP, "otlp_proto_grpc": GRPC}


@dataclass(frozen=True)
class Destination:
    """One exporter of one signal. What OTLP has and other exporters have not is empty."""

    signal: str
    exporter: str  # its name in OTEL_*_EXPORTER
    protocol: str = ""
    endpoint: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    broken_headers: int = 0  # entries of the list that are no name=value
    compression: str = ""
    secure: bool = False
    certificate: str = ""
    client_certificate: str = ""
    client_key: str = ""

    @property
    def otlp(self) -> bool:
        """Whether it can be tried."""
        return self.exporter in _OTLP

    @property
    def shown(self) -> str:
        """The endpoint without what may be secret in it."""
        scheme, separator, rest = self.endpoint.rpartition("://")
        # Up to the last @: a password whose slashes are not encoded is one all the same.
        return f"{scheme}{separator}{re.split('[?#]', rest.rpartition('@')[2])[0]}"

    @property
    def host(self) -> str:
        """The host of the endpoint, without its port."""
        try:
            url = self.endpoint if "://" in self.endpoint else f"//{self.endpoint}"
            return urlsplit(url).hostname or ""
        except ValueError:
            return ""


def destinations(environ: Mapping[str, str]) -> list[Destination]:
    """Every exporter of every signal that *environ* chooses."""
    return [
        _otlp(signal, name, environ) if name in _OTLP else Destination(signal, name)
        for signal in SIGNALS
        for name in exporters(signal, environ)
    ]


def exporters(signal: str, environ: Mapping[str, str]) -> list[str]:
    """The names in ``OTEL_<SIGNAL>_EXPORTER``."""
    value = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip()
    return [] if value.lower() == "none" else [name.strip() for name in value.split(",") if name.strip()]


def _otlp(signal: str, exporter: str, environ: Mapping[str, str]) -> Destination:
    def said(what: str) -> str:
        own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{what}", "")
        return (own or environ.get(f"OTEL_EXPORTER_OTLP_{what}", "")).strip()

    protocol = _OTLP[exporter] or said("PROTOCOL") or GRPC
    endpoint = _endpoint(signal, protocol, environ)
    headers, broken = parse_headers(said("HEADERS"))
    secure = endpoint.startswith("https:")
    if protocol == GRPC and not secure:
        secure = said("INSECURE").lower() != "true" if said("INSECURE") else not endpoint.startswith("http:")
    return Destination(
        signal,
        exporter,
        protocol,
        endpoint,
        tuple(headers.items()),
        broken,
        said("COMPRESSION").lower(),
        secure,
        said("CERTIFICATE"),
        said("CLIENT_CERTIFICATE"),
        said("CLIENT_KEY"),
    )


def _endpoint(signal: str, protocol: str, environ: Mapping[str, str]) -> str:
    """The URL of *signal*: by HTTP the general endpoint gets a path, one of the signal's own gets none."""
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "").strip()
    base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    if protocol == GRPC:
        return own or base or "http://localhost:4317"
    return own or f"{(base or 'http://localhost:4318').removesuffix('/')}/v1/{signal}"


def parse_headers(text: str) -> tuple[dict[str, str], int]:
    """The headers in *text*, and how many entries are none. Of those not even the name is to be shown."""
    found = {}
    broken = 0
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        name, equals, value = entry.partition("=")
        if equals and is_header_name(name) and value.strip("= "):
            found[unquote(name).strip().lower()] = unquote(value).strip()
        else:
            broken += 1
    return found, broken
