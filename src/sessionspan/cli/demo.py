"""``sessionspan demo``: a real server and a real client on this machine, and their sessions as trees."""

from __future__ import annotations

import contextlib
import json
import signal
import ssl
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

import click

# Said when the extra is missing; quoted, for the brackets mean something to a shell.
_INSTALL: Final = f"{sys.executable} -m pip install 'sessionspan[demo]'"

_BEFORE: Final = """\
An ordinary aiosmtpd server now runs on 127.0.0.1 under `sessionspan run`; its
code does not know. A client logs in and sends mail, another one breaks off.
Nothing leaves this machine.
"""
_AFTER: Final = """\
Each tree is one span, each step an event on it. The same events go out as logs,
with session, client, user and whole mail addresses; spans have only domains.

Next, with your own server:
  sessionspan run --console python my_server.py    # watch it, a line per event
  export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318
  sessionspan run python my_server.py              # send it to a backend
The demo's server, to read:
"""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the sessions as JSON lines and nothing else.")
def demo(as_json: bool) -> None:
    """See it work: a real SMTP server, real sessions, no backend.

    Starts an aiosmtpd server on a free port of 127.0.0.1, talks to it with smtplib (STARTTLS, logins, mail, a
    refused recipient), prints the sessions, and stops it. Your OTEL_* variables do not matter here.

    \b
    sessionspan demo
    sessionspan demo --json | jq '.events[].name'
    """
    try:
        import aiosmtpd  # noqa: F401 - the server's
        import trustme  # noqa: F401 - the certificate's
    except ImportError as error:
        click.echo(f"sessionspan: the demo needs {error.name}: {_INSTALL}", err=True)
        sys.exit(1)
    from sessionspan.cli.stage import Failed

    if not as_json:
        click.echo(_BEFORE)
    try:
        spans = _perform()
    except Failed as error:
        click.echo(f"sessionspan: the demo failed: {error}", err=True)
        sys.exit(1)
    if as_json:
        _print_json(spans)
    else:
        _print_trees(spans)


def _perform() -> list[dict[str, Any]]:
    """Hold the sessions, and return their spans in the order in which they began."""
    import trustme

    from sessionspan.cli import demo_client
    from sessionspan.cli.stage import stage

    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with (
        _orderly_end(),
        stage(authority.issue_cert(demo_client.HOST).private_key_and_cert_chain_pem.bytes()) as here,
    ):
        demo_client.talk(here.port, trust)
        spans = here.spans(demo_client.SESSIONS)
    return sorted(spans, key=lambda span: str(span["start_time"]))


@contextlib.contextmanager
def _orderly_end() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise SystemExit: else the server would outlive the demo."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    ends = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, leave) for number in ends}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_json(spans: list[dict[str, Any]]) -> None:
    for span in spans:
        kept = ("name", "kind", "start_time", "end_time", "status", "attributes", "events")
        told = {key: span[key] for key in kept}
        told["kind"] = str(span["kind"]).removeprefix("SpanKind.")
        click.echo(json.dumps(told))


def _print_trees(spans: list[dict[str, Any]]) -> None:
    from sessionspan.cli import stage
    from sessionspan.cli.tree import TreeSink

    sink = TreeSink(sys.stdout)
    for span in spans:
        sink.export([stage.as_span(span)])
    click.echo(_AFTER.rstrip("\n"))
    click.echo(f"  {stage.SERVER}")
