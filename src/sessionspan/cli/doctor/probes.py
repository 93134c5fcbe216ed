"""Whether an OTLP endpoint takes a signal: it gets an empty request, as the exporter would send it.

Headers, compression and certificates are the exporter's. An empty message has no bytes in protobuf, so the same
request does for every signal. Nothing is retried.
"""

from __future__ import annotations

import errno
import gzip
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from sessionspan.cli.doctor.destinations import GRPC, HTTP, Destination
from sessionspan.version import __version__

PATIENCE: Final = 2.0  # seconds for one request
_ALL: Final = 3 * PATIENCE  # for all of them, which run at once: a request, perhaps one more by the other protocol
_AGENT: Final = f"sessionspan-doctor/{__version__}"
_METHODS: Final = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}


class Outcome(NamedTuple):
    """What came of a request: a key of `exporting.JUDGEMENTS`, and what was said."""

    kind: str
    detail: str = ""


def probe_all(wanted: Sequence[Destination]) -> list[Outcome]:
    """Try all of *wanted* at once; it takes a few seconds at most, whatever they do."""
    outcomes = [Outcome("silent")] * len(wanted)

    def work(place: int) -> None:
        outcomes[place] = _probe(wanted[place])

    # Daemons, and no pool: a name server that does not answer cannot be interrupted, and must not hold us up.
    threads = [threading.Thread(target=work, args=(place,), daemon=True) for place in range(len(wanted))]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + _ALL
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return list(outcomes)


def _probe(wanted: Destination) -> Outcome:
    outcome = _once(wanted)
    if outcome.kind not in ("other_protocol", "silent", "unclear"):
        return outcome
    other = replace(wanted, protocol=GRPC if wanted.protocol == HTTP else HTTP)
    if other.protocol == HTTP and not urlsplit(other.endpoint).path.strip("/"):
        other = replace(other, endpoint=f"{other.endpoint.removesuffix('/')}/v1/{other.signal}")
    if _once(other).kind in ("accepted", "unsupported", "credentials"):
        return Outcome("protocol", other.protocol)
    return Outcome("unclear", "no OTLP answer") if outcome.kind == "other_protocol" else outcome


def _once(wanted: Destination) -> Outcome:
    send = _PROTOCOLS.get(wanted.protocol)
    if send is None:
        return Outcome("unknown_protocol", wanted.protocol)
    try:
        return send(wanted)
    except Exception as error:  # noqa: BLE001 - whatever a network and three libraries come up with is told
        return Outcome("unclear", type(error).__name__)


# HTTP.

_STATUS: Final = {
    401: "credentials",
    403: "credentials",
    404: "unsupported",
    405: "unsupported",
    501: "unsupported",
    400: "answered",
    413: "answered",
    422: "answered",
    429: "busy",
    502: "busy",
    503: "busy",
    504: "busy",
}


def _by_http(wanted: Destination) -> Outcome:
    import requests

    headers = {"Content-Type": "application/x-protobuf", "User-Agent": _AGENT, **dict(wanted.headers)}
    body = b""
    if wanted.compression in ("gzip", "deflate"):
        headers["Content-Encoding"] = wanted.compression
        body = gzip.compress(body) if wanted.compression == "gzip" else zlib.compress(body)
    certificate: Any = wanted.client_certificate or None
    if certificate and wanted.client_key:
        certificate = (certificate, wanted.client_key)
    try:
        answer = requests.post(
            wanted.endpoint,
            data=body,
            headers=headers,
            timeout=PATIENCE,
            verify=wanted.certificate or True,
            cert=certificate,
            allow_redirects=False,
            stream=True,  # what it says is not needed, however long it is
        )
    except (requests.exceptions.RequestException, OSError) as error:
        return _http_failure(error)
    with answer:
        return _http_answer(answer)


def _http_answer(answer: Any) -> Outcome:
    code = answer.status_code
    kind = _STATUS.get(code)
    if 200 <= code < 300:
        html = answer.headers.get("Content-Type", "").startswith("text/html")
        return Outcome("unclear", "a web page answers") if html else Outcome("accepted", str(code))
    return Outcome(kind, f"HTTP {code}") if kind else Outcome("unclear", f"HTTP {code}")


def _http_failure(error: Exception) -> Outcome:
    """Why there was no answer. The text of these errors has the URL in it, so it is not used."""
    import requests

    reasons = list(_reasons(error))
    names = {type(reason).__name__ for reason in reasons}
    if isinstance(error, requests.exceptions.SSLError):
        return Outcome("tls", _tls_reason(reasons))
    if isinstance(error, requests.exceptions.ProxyError):
        return Outcome("proxy")
    if isinstance(error, requests.exceptions.Timeout):
        return Outcome("silent")
    if "NameResolutionError" in names or "gaierror" in names:
        return Outcome("unresolved")
    if "ConnectionRefusedError" in names:
        return Outcome("refused")
    if isinstance(error, ValueError):  # requests' InvalidURL, MissingSchema, InvalidSchema, InvalidHeader
        return Outcome("endpoint")
    if isinstance(error, requests.exceptions.ConnectionError):
        unreachable = any(isinstance(r, OSError) and r.errno in _UNREACHABLE for r in reasons)
        return Outcome("unreachable") if unreachable else Outcome("other_protocol")
    if isinstance(error, OSError) and not isinstance(error, requests.exceptions.RequestException):
        return Outcome("certificate")
    return Outcome("other_protocol")


_UNREACHABLE: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT)


def _reasons(error: BaseException) -> Iterator[BaseException]:
    """*error* and all that it was made of."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    yield from seen


def _tls_reason(reasons: Sequence[BaseException]) -> str:
    for reason in reasons:
        message = getattr(reason, "verify_message", "")
        if message:
            return str(message)
    codes = [str(getattr(reason, "reason", "")) for reason in reasons]
    codes = [code for code in codes if code.replace("_", "").isalnum() and code.isupper()]
    return codes[0].replace("_", " ").lower() if codes else "the handshake failed"


# gRPC.

_CODES: Final = {
    "UNIMPLEMENTED": "unsupported",
    "UNAUTHENTICATED": "credentials",
    "PERMISSION_DENIED": "credentials",
    "INVALID_ARGUMENT": "answered",
    "RESOURCE_EXHAUSTED": "busy",
    "DEADLINE_EXCEEDED": "silent",
}
# What gRPC says in words only.
_DETAILS: Final = (
    ("http1", "other_protocol"),
    ("frame", "other_protocol"),
    ("refused", "refused"),
    ("resol", "unresolved"),
    ("ssl", "tls"),
    ("tls", "tls"),
    ("certificate", "tls"),
    ("handshake", "tls"),
    ("unreachable", "unreachable"),
    ("timed out", "silent"),
)


def _by_grpc(wanted: Destination) -> Outcome:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its C core writes to stderr
    import grpc  # type: ignore[import-untyped]

    target = urlsplit(wanted.endpoint).netloc or wanted.endpoint
    gzipped = grpc.Compression.Gzip if wanted.compression == "gzip" else None
    try:
        channel = _channel(grpc, target.rpartition("@")[2], wanted)
    except OSError:
        return Outcome("certificate")
    with channel:
        call = channel.unary_unary(_METHODS[wanted.signal])
        metadata = [("user-agent", _AGENT), *((name.lower(), value) for name, value in wanted.headers)]
        try:
            call(b"", timeout=PATIENCE, metadata=metadata, compression=gzipped)
        except grpc.RpcError as error:
            return _grpc_failure(error)
    return Outcome("accepted", "OK")


def _channel(grpc: Any, target: str, wanted: Destination) -> Any:
    if not wanted.secure:
        return grpc.insecure_channel(target)

    def content(path: str) -> bytes | None:
        if not path:
            return None
        with open(path, "rb") as file:
            return file.read()

    credentials = grpc.ssl_channel_credentials(
        content(wanted.certificate), content(wanted.client_key), content(wanted.client_certificate)
    )
    return grpc.secure_channel(target, credentials)


def _grpc_failure(error: Any) -> Outcome:
    code = error.code().name
    if code in _CODES:
        return Outcome(_CODES[code], code)
    words = (error.details() or "").lower()
    for part, kind in _DETAILS:
        if part in words:
            return Outcome(kind, "the handshake failed" if kind == "tls" else code)
    return Outcome("other_protocol" if code in ("UNAVAILABLE", "INTERNAL", "UNKNOWN") else "unclear", code)


_PROTOCOLS: Final[dict[str, Callable[[Destination], Outcome]]] = {HTTP: _by_http, GRPC: _by_grpc}
