"""What a command of netmiko costs, per variant: ``python -m benchmarks.netmiko``, with ``--sshd`` as root.

CPU time of the process, with the SDK's batch threads, per `send_command`: on a connection whose device is a few
lines of Python, where nothing but netmiko and we take time, and on OpenSSH's server. Each variant runs in a fresh
process, all of them in turn, round by round. That everything was recorded is checked.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from benchmarks.machine import machine

VARIANTS: Final = {
    "bare": "netmiko alone",
    "no-sdk": "sessionspan instruments, no SDK is set up",
    "metadata": "all telemetry, SESSIONSPAN_CAPTURE=metadata",
    "commands": "with the text of commands (the default)",
    "content": "and with 2 kB of answers, redacted",
}
_WARM_UP: Final = 20
_COMMAND: Final = "show ip interface brief"
_ANSWER: Final = "GigabitEthernet0/1   10.0.0.1   YES manual up   up\n" * 40
_PROMPT: Final = "rtr1#"


class Device:
    """A channel of netmiko with a device behind it that answers at once."""

    def __init__(self) -> None:
        self._waiting = ""

    def write_channel(self, data: str) -> None:
        """Echo, answer, prompt."""
        line = data.strip()
        self._waiting += f"{line}\n{_ANSWER if line else ''}{_PROMPT}"

    def read_channel(self) -> str:
        """All that waits."""
        found, self._waiting = self._waiting, ""
        return found


@contextlib.contextmanager
def stub() -> Iterator[Any]:
    """A connection to `Device` that never sleeps: the clock of netmiko's loops is no cost of anybody's."""
    base: Any = importlib.import_module("netmiko.base_connection")
    cisco: Any = importlib.import_module("netmiko.cisco")

    class Clock:
        time = staticmethod(time.time)

        @staticmethod
        def sleep(seconds: float) -> None: ...

    class Connection(cisco.CiscoIosSSH):  # type: ignore[misc]
        def establish_connection(self, width: int = 511, height: int = 1000) -> None:
            self.channel = Device()

        def session_preparation(self) -> None:
            self.base_prompt = _PROMPT[:-1]

    original, base.time = base.time, Clock
    try:
        with Connection(host="192.0.2.1", username="bench", password="bench", device_type="cisco_ios") as found:
            yield found
    finally:
        base.time = original


@contextlib.contextmanager
def to_sshd(parameters: str) -> Iterator[Any]:
    """A connection to OpenSSH's server."""
    from netmiko import ConnectHandler

    with ConnectHandler(device_type="linux", **json.loads(parameters)) as found:
        yield found


def measure(variant: str, commands: int, sshd: str) -> dict[str, float]:
    """Run *variant* in this process: microseconds of CPU per command, and events per command."""
    counted = _instrument(variant)
    with to_sshd(sshd) if sshd else stub() as connection:
        arguments = ("id", r"[#$] ?$") if sshd else (_COMMAND, _PROMPT)
        for _ in range(_WARM_UP):
            connection.send_command(*arguments)
        before, wall = time.process_time(), time.perf_counter()
        for _ in range(commands):
            connection.send_command(*arguments)
        used, took = time.process_time() - before, time.perf_counter() - wall
    events = counted() / (commands + _WARM_UP)
    return {"cpu_us": used / commands * 1e6, "wall_us": took / commands * 1e6, "events": round(events)}


def _instrument(variant: str) -> Any:
    """Set *variant* up; how many events about commands there were, when asked."""
    if variant == "bare":
        return lambda: 0
    os.environ["SESSIONSPAN_CAPTURE"] = variant if variant != "no-sdk" else "commands"
    os.environ["SESSIONSPAN_EVENTS"] = "both"
    from sessionspan_netmiko import NetmikoInstrumentor

    if variant == "no-sdk":
        NetmikoInstrumentor().instrument()
        return lambda: 0
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
    from opentelemetry.sdk.trace import TracerProvider

    seen = 0

    class Counts(LogRecordExporter):
        def export(self, batch: Any) -> Any:
            nonlocal seen
            seen += sum(1 for each in batch if ".device." in (each.log_record.event_name or ""))
            return LogRecordExportResult.SUCCESS

        def shutdown(self) -> None: ...

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return True

    logs = LoggerProvider()
    logs.add_log_record_processor(BatchLogRecordProcessor(Counts(), max_queue_size=100_000))
    NetmikoInstrumentor().instrument(tracer_provider=TracerProvider(), logger_provider=logs)

    def counted() -> int:
        logs.force_flush()
        return seen

    return counted


def run(commands: int, rounds: int, variants: list[str], sshd: str) -> dict[str, Any]:
    """All variants, in turn."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name in variants:
            code = "import sys; from benchmarks import netmiko; netmiko.child(*sys.argv[1:])"
            command = [sys.executable, "-c", code, name, str(commands), sshd]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            taken[name].append(json.loads(done.stdout))
    figures = {}
    for name, runs in taken.items():
        expected = 2 if name in ("metadata", "commands", "content") else 0
        if any(each["events"] != expected for each in runs):
            raise RuntimeError(f"{name}: not every event was recorded")
        figures[name] = _figures(runs, taken.get("bare"))
    return figures


def _figures(runs: list[dict[str, float]], bare: list[dict[str, float]] | None) -> dict[str, Any]:
    found: dict[str, Any] = {key: round(statistics.median(each[key] for each in runs), 1) for key in runs[0]}
    if bare is not None:
        pairs = list(zip(runs, bare, strict=True))
        for key in ("cpu_us", "wall_us"):
            found[f"{key}_over_bare"] = round(statistics.median(a[key] - b[key] for a, b in pairs), 1)
            found[f"{key}_x_bare"] = round(statistics.median(a[key] / b[key] for a, b in pairs), 3)
    return found


def child(variant: str, commands: str, sshd: str) -> None:
    """One run, as JSON."""
    print(json.dumps(measure(variant, int(commands), sshd)))


def table(result: dict[str, Any]) -> str:
    """The figures for people, as Markdown."""
    lines = [f"{what}: {text}" for what, text in result["machine"].items()]
    for place in ("stub", "sshd"):
        if place not in result:
            continue
        lines += ["", f"### send_command, {place}", ""]
        lines += ["| variant | CPU | more than bare | x bare | wall, x bare |", "|---|---|---|---|---|"]
        for name, found in result[place].items():
            over, times = found.get("cpu_us_over_bare"), found.get("cpu_us_x_bare")
            lines.append(
                f"| {name}: {VARIANTS[name]} | {found['cpu_us']:.0f} us | {over} us | {times} | "
                f"{found.get('wall_us_x_bare')} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=2000, help="commands per run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--sshd", action="store_true", help="also with OpenSSH's server (as root)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = {
        "machine": machine("netmiko"),
        "stub": run(options.commands, options.rounds, options.variants, ""),
    }
    if options.sshd:
        from tests.instrumentation.kit_hosts import directory, sshd

        with directory() as home, sshd(home) as parameters:
            commands = max(1, options.commands // 20)
            result["sshd"] = run(commands, options.rounds, options.variants, json.dumps(parameters))
    print(json.dumps(result) if options.json else table(result))


if __name__ == "__main__":
    main()
