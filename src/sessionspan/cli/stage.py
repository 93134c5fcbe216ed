"""The demo's stage: the server in a process of its own, under the launcher, and what it recorded.

The SDK's console exporter writes each span as JSON to the server's stdout; here it becomes a span again.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan

from sessionspan.cli import demo_client

PATIENCE: Final = 30.0  # seconds; then the server is killed, and the demo has failed
SERVER: Final = Path(__file__).with_name("demo_server.py")


class Failed(Exception):
    """The demo did not work; the text says why."""


class Stage:
    """A server that is up."""

    def __init__(self, port: int, output: IO[str]) -> None:
        self.port = port
        self._output = output

    def spans(self, count: int) -> list[dict[str, Any]]:
        """Wait until the server has exported *count* spans, and return them as the SDK writes them."""
        found: list[dict[str, Any]] = []
        text = ""
        while len(found) < count:
            line = self._output.readline()
            if not line:
                raise Failed(f"the server recorded {len(found)} of {count} sessions")
            text += line
            if line.rstrip() == "}":  # the SDK indents all but the braces around a span
                found.append(json.loads(text))
                text = ""
        return found


@contextlib.contextmanager
def stage(certificate: bytes) -> Iterator[Stage]:
    """A server with *certificate* (PEM, with its key), which is gone when the block is left."""
    with tempfile.TemporaryDirectory(prefix="sessionspan-demo-") as folder, tempfile.TemporaryFile() as errors:
        path = Path(folder, "server.pem")  # the folder is ours alone, mode 0700
        path.write_bytes(certificate)
        server = subprocess.Popen(
            [sys.executable, "-m", "sessionspan.cli", "run", str(SERVER), str(path)],
            env=_environment(),
            cwd=os.path.abspath(os.sep),  # nothing in the user's folder can pose as a module of the server
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
        )
        watchdog = threading.Timer(PATIENCE, server.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            assert server.stdout is not None
            greeting = server.stdout.readline().split()
            if not greeting or not greeting[-1].isdigit():
                raise Failed("the server did not start")
            yield Stage(int(greeting[-1]), server.stdout)
        except (Failed, OSError, demo_client.Unexpected) as error:
            server.kill()
            server.wait()
            errors.seek(0)
            raise Failed(f"{error}\n{errors.read().decode(errors='replace')}".rstrip()) from error
        finally:
            watchdog.cancel()
            server.kill()
            server.wait()


def _environment() -> dict[str, str]:
    """This process's environment without any OTEL_* and SESSIONSPAN_*, and with the demo's own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "SESSIONSPAN_"))}
    entries = environ.get("PYTHONPATH", "").split(os.pathsep)
    return environ | {
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, entries))),
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "50",  # ms
        "PYTHONIOENCODING": "utf-8",
    }


def as_span(found: dict[str, Any]) -> ReadableSpan:
    """The span that the SDK wrote as *found*."""
    return ReadableSpan(
        name=found["name"],
        attributes=found["attributes"],
        events=[Event(e["name"], e["attributes"], _nanoseconds(e["timestamp"])) for e in found["events"]],
        start_time=_nanoseconds(found["start_time"]),
        end_time=_nanoseconds(found["end_time"]),
    )


def _nanoseconds(moment: str) -> int:
    parsed = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    return int(parsed.timestamp()) * 1_000_000_000 + parsed.microsecond * 1000
