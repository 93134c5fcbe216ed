"""What an open session takes of a server's memory, per variant: ``python -m benchmarks.memory``.

The private memory of the server (USS) with N sessions that have said EHLO and are idle, their telemetry so
far exported, against that with more of them: the slope is what one more session takes. Python takes memory
from the system by the megabyte, so it takes thousands of sessions: of 3,000 that megabyte is 350 bytes each.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
from typing import Any, Final

from benchmarks.client import greet, idle_sessions
from benchmarks.machine import machine
from benchmarks.process import ServerProcess
from benchmarks.sink import Sink
from benchmarks.variants import VARIANTS, Variant

_FILES: Final = 200  # that are open besides
_QUEUED: Final = 100  # sessions that begin or end before what they say is exported
_MEASURED: Final = ("bare", "no-sdk", "logs", "both", "straightforward-logs", "straightforward-both")


def measure(variant: Variant, low: int, high: int) -> float:
    """Bytes per open session, between *low* and *high* of them."""
    with Sink() as sink, ServerProcess(variant, sink.url, spare_heap=False) as server:
        with idle_sessions(server.port) as clients:
            memory = {}
            for number in (low, high):
                while len(clients) < number:
                    clients.append(greet(server.port))
                    if len(clients) % _QUEUED == 0:
                        server.flush()  # what is queued is no session's memory
                memory[number] = server.flush().memory
            while clients:
                clients.pop().drop()
                if len(clients) % _QUEUED == 0:
                    server.flush()
        server.settle()
    return (memory[high] - memory[low]) / (high - low)


def report(measured: dict[str, list[float]], low: int, high: int) -> dict[str, Any]:
    """All figures, as JSON has them."""
    medians = {name: statistics.median(values) for name, values in measured.items()}
    bare = medians.get("bare")
    return {
        "machine": machine(),
        "sessions": [low, high],
        "variants": {
            name: {
                "bytes_per_session": round(median),
                "over_bare": round(median - bare) if bare is not None else None,
                "x_bare": round(median / bare, 3) if bare else None,
            }
            for name, median in medians.items()
        },
    }


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{what}: {text}" for what, text in result["machine"].items()]
    lines += ["", "| variant | bytes per open session | over bare | x bare |", "|---|---|---|---|"]
    for name, figures in result["variants"].items():
        over, times = figures["over_bare"], figures["x_bare"]
        cells = (
            name,
            figures["bytes_per_session"],
            "-" if over is None else over,
            "-" if times is None else times,
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.partition("\n")[0])
    parser.add_argument("--low", type=int, default=1000, help="open sessions (default: %(default)s)")
    parser.add_argument("--high", type=int, default=10000, help="open sessions (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(_MEASURED), metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < options.high + _FILES:
        parser.error(
            f"{options.high} sessions need as many open files, and {hard} are allowed: --high {hard - _FILES}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each session is a file here and in the server
    measured: dict[str, list[float]] = {name: [] for name in options.variants}
    for number in range(1, options.rounds + 1):
        for name, values in measured.items():
            print(f"round {number} of {options.rounds}: {name}", file=sys.stderr)
            values.append(measure(VARIANTS[name], options.low, options.high))
    result = report(measured, options.low, options.high)
    print(json.dumps(result, indent=2) if options.json else table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
