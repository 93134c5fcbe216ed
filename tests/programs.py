"""Python programs as processes of their own, for tests: ordinary mail servers that know nothing of telemetry."""

from __future__ import annotations

import os
import re
import signal
import smtplib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

LAUNCHER = str(Path(sys.executable).with_name("opentelemetry-instrument"))
PATIENCE = 30.0  # seconds; a bound against hanging, never a measurement
STILL = 0.05  # seconds in which a thread that has come to rest does not run
RESTLESS = 2.0  # seconds after which a thread is taken for one that always has something to do

# An ordinary aiosmtpd server. `loop.create_server` and not a Controller, which cannot bind port 0.
SERVER = """
import asyncio
from aiosmtpd.smtp import SMTP

class Handler:
    async def handle_DATA(self, server, session, envelope):
        return "250 2.0.0 Ok: queued as 4711"

async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), hostname="mx.example"), "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""

OURS = {"OTEL_PYTHON_DISTRO": "sessionspan", "OTEL_PYTHON_CONFIGURATOR": "sessionspan"}


def clean_environment() -> dict[str, str]:
    """This process's environment without anything that steers telemetry or imports."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "SESSIONSPAN_", "PYTHON"))
    } | {"PYTHONUNBUFFERED": "1"}


class Program:
    """A Python program in a process; use it as a context manager, which kills what is left of it."""

    def __init__(
        self,
        directory: Path,
        source: str = SERVER,
        environment: Mapping[str, str] | None = None,
        *,
        launcher: bool = True,
        distro: Mapping[str, str] = OURS,
        prefix: Sequence[str] = (),
    ) -> None:
        script = directory / "server.py"
        script.write_text(source)
        command = [*prefix, *([LAUNCHER] if launcher else []), sys.executable, str(script)]
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env=clean_environment() | dict(distro) | dict(environment or {}),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._clients: list[smtplib.SMTP] = []
        self._changed = threading.Condition()
        self._texts = {"stdout": "", "stderr": ""}
        self._readers = [
            threading.Thread(target=self._read, args=(name,), daemon=True) for name in ("stdout", "stderr")
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str) -> None:
        for line in getattr(self.process, name):
            with self._changed:
                self._texts[name] += line
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        for connection in self._clients:
            connection.close()
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        if error is not None:
            print(f"--- stdout of the program\n{self.stdout}--- stderr of the program\n{self.stderr}")

    @property
    def stdout(self) -> str:
        return self._texts["stdout"]

    @property
    def stderr(self) -> str:
        return self._texts["stderr"]

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until *condition* holds; it is asked again whenever the program has said something."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                gone = not any(reader.is_alive() for reader in self._readers)
                if left <= 0 or gone:
                    raise TimeoutError(f"no {what}{' before the program ended' if gone else ''}")
                self._changed.wait(min(left, 0.5))

    def wait_for(self, word: str) -> str:
        """Wait for the line of stdout that begins with *word*; return the rest of it."""
        pattern = re.compile(rf"^{re.escape(word)}(.*)\n", re.MULTILINE)
        self.wait_until(lambda: pattern.search(self.stdout), f"line {word!r}")
        found = pattern.search(self.stdout)
        assert found is not None
        return found[1].strip()

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self.wait_for("port"))

    def open_session(self) -> smtplib.SMTP:
        """A client that is connected and has said EHLO and NOOP; it is kept until the program has gone.

        NOOP has been answered, so the server is done with all that was said before.
        """
        connection = client(self.port)
        self._clients.append(connection)
        connection.noop()
        return connection

    def tell(self, line: str) -> None:
        """Write *line* to the program's stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def close_stdin(self) -> None:
        """Let a program go on that waits for the end of its input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def terminate(self, number: int = signal.SIGTERM, times: int = 1) -> None:
        """Send the signal, as `terminate` does."""
        terminate(self.process.pid, number, times)

    def wait(self) -> int:
        """Wait for the end of the process; return its exit status, minus the signal's number for a signal."""
        status = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return status


def _switches(pid: int) -> list[str]:
    status = Path(f"/proc/{pid}/task/{pid}/status").read_text()
    return [line for line in status.splitlines() if line.startswith(("State", "voluntary", "nonvoluntary"))]


def _wait_until_idle(pid: int) -> None:
    """Wait until the main thread of the process *pid* waits for something that has not come for a while.

    Python hears a signal between two instructions of the main thread. One that comes in the moment in which the
    thread goes to wait in a system call is heard when that call returns: in a server that nobody speaks to, never.
    Every handler in Python has this (cpython #98140). A main thread that only computes hears it without us.
    """
    deadline = time.monotonic() + RESTLESS
    before: list[str] = []
    while time.monotonic() < deadline:
        time.sleep(STILL)
        now = _switches(pid) if Path(f"/proc/{pid}").exists() else []
        if now == before and not any("running" in line for line in now):
            return
        before = now


def terminate(pid: int, number: int = signal.SIGTERM, times: int = 1) -> None:
    """Send the signal to a process that has nothing to do, so that it is heard at once."""
    _wait_until_idle(pid)
    for _ in range(times):
        os.kill(pid, number)


def client(port: int) -> smtplib.SMTP:
    """A client that is connected and has said EHLO: an open session."""
    connection = smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=PATIENCE)
    connection.ehlo()
    return connection


def send_mail(port: int) -> None:
    """A whole session: one message, QUIT."""
    with client(port) as connection:
        connection.sendmail("ann@sender.example", ["bob@example.org"], "Subject: hello\r\n\r\nhello\r\n")
