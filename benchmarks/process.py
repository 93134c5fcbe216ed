"""The server under test, as the benchmark that runs it sees it; under valgrind it counts instructions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Final, NamedTuple

from benchmarks.variants import Variant

_ROOT: Final = Path(__file__).parent.parent

# Without these the figures would differ from run to run: with dictionaries in another order, and with
# batches that are as large as the machine is fast. So batches are full ones, as on a busy server.
_ENVIRONMENT: Final = {
    "PYTHONHASHSEED": "0",
    "OTEL_BSP_SCHEDULE_DELAY": "3600000",
    "OTEL_BLRP_SCHEDULE_DELAY": "3600000",
}


class Usage(NamedTuple):
    """What the server has used so far."""

    cpu: float  # seconds
    memory: float  # bytes


def can_count() -> bool:
    """Whether instructions can be counted here."""
    return shutil.which("valgrind") is not None and shutil.which("vgdb") is not None


class ServerProcess:
    """A server that runs while the ``with`` block does."""

    def __init__(
        self,
        variant: Variant,
        sink: str,
        protocol: str = "smtp",
        *,
        counted: bool = False,
        spare_heap: bool = True,
    ) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self._counts = Path(self._directory.name) / "counts"
        self._counted = counted
        command = [sys.executable, "-m", "benchmarks.server", variant.name, sink, protocol]
        if spare_heap:
            command.append("--spare-heap")
        if counted:
            # Python's own start does not count: counting is switched on and off from outside.
            options = ["--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self._counts}"]
            command = ["valgrind", "--quiet", *options, *command]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "SESSIONSPAN_"))}
        environment |= _ENVIRONMENT | {"SESSIONSPAN_EVENTS": variant.events}
        self._process = subprocess.Popen(
            command, cwd=_ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = 0

    def __enter__(self) -> ServerProcess:
        self.port = int(self._line())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._directory.cleanup()

    def settle(self) -> Usage:
        """Wait until all sessions have ended and all telemetry is exported."""
        return self._ask("settle")

    def flush(self) -> Usage:
        """Export the telemetry of the sessions that are open, too."""
        return self._ask("flush")

    def count(self, on: bool) -> None:
        """Switch the counting of instructions on or off."""
        order = ["vgdb", f"--pid={self._process.pid}", "instrumentation", "on" if on else "off"]
        subprocess.run(order, check=True, capture_output=True)

    def stop(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._pipe(self._process.stdin).close()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise
        self._pipe(self._process.stdout).close()

    def instructions(self) -> int:
        """End the process; how many instructions were counted."""
        self.stop()
        for line in self._counts.read_text().splitlines():
            if line.startswith("totals:"):
                return int(line.split()[1])
        raise RuntimeError("callgrind has written no totals")

    def _ask(self, order: str) -> Usage:
        pipe = self._pipe(self._process.stdin)
        pipe.write(f"{order}\n")
        pipe.flush()
        return Usage(**json.loads(self._line()))

    def _line(self) -> str:
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError("the server has ended; what it said on stderr is above")
        return line

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe
