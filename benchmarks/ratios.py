"""What a session costs a server, per variant, as ratios within one run; one command per protocol runs this.

Instructions (callgrind, user space, all threads, exporting too) and CPU time (with the kernel's) per session.
Each variant runs in a fresh server process, all of them in turn, round by round. That everything arrived is
checked, and that the straightforward variants said the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.client import run_sessions
from benchmarks.dialogues import Dialogue
from benchmarks.machine import machine
from benchmarks.process import ServerProcess, can_count
from benchmarks.sink import Shape, Sink
from benchmarks.variants import VARIANTS, Variant, peer_of, variants_of

WARM_UP = 20  # sessions, before anything is measured


class Lost(Exception):
    """Not everything that was to arrive has arrived."""


@dataclass
class Measured:
    """The figures of one variant, one per round."""

    instructions: list[int] = field(default_factory=list)  # per session
    cpu: list[float] = field(default_factory=list)  # microseconds per session
    shapes: Counter[Shape] = field(default_factory=Counter)  # what arrived, of one run
    delivered: dict[str, int] = field(default_factory=dict)


def measure(dialogue: Dialogue, variant: Variant, sessions: int, *, counted: bool, into: Measured) -> None:
    """Run *variant* once, and add what it took to *into*."""
    with Sink() as sink, ServerProcess(variant, sink.url, dialogue.protocol, counted=counted) as server:
        run_sessions(server.port, WARM_UP, dialogue)
        before = server.settle()
        if counted:
            server.count(True)
        run_sessions(server.port, sessions, dialogue)
        after = server.settle()
        if counted:
            server.count(False)
            into.instructions.append(server.instructions() // sessions)
        else:
            into.cpu.append((after.cpu - before.cpu) / sessions * 1e6)
        into.shapes = sink.empty()
    into.delivered = check_delivered(variant, into.shapes, sessions + WARM_UP, dialogue.events)


def check_delivered(variant: Variant, shapes: Counter[Shape], sessions: int, events: int) -> dict[str, int]:
    """Count what arrived of *sessions* of so many *events*; raise `Lost` unless it is all."""
    delivered: Counter[str] = Counter()
    for shape, number in shapes.items():
        delivered[shape.kind] += number
    expected: Counter[str] = Counter()
    if variant.sdk:
        expected["span"] = sessions
        expected["span event"] = sessions * events * variant.on_span
        expected["log record"] = sessions * events * variant.logs
    if delivered != expected:
        raise Lost(f"{variant.name}: {dict(delivered)} arrived of {dict(expected)}")
    return dict(delivered)


def attributes_by_name(shapes: Counter[Shape]) -> dict[str, float]:
    """The mean number of attributes of each kind of record."""
    records: Counter[str] = Counter()
    attributes: Counter[str] = Counter()
    for shape, number in shapes.items():
        records[f"{shape.kind} {shape.name}"] += number
        attributes[f"{shape.kind} {shape.name}"] += number * len(shape.attributes)
    return {name: attributes[name] / records[name] for name in sorted(records)}


def check_the_same(ours: str, peer: str, measured: dict[str, Measured]) -> None:
    """Raise unless both variants sent records of the same names, keys and types, as often."""
    difference = [
        f"{name}: {number} x {shape}"
        for name, other in ((ours, peer), (peer, ours))
        for shape, number in (measured[name].shapes - measured[other].shapes).items()
    ]
    if difference:
        raise Lost("\n".join((f"{ours} and {peer} do not say the same; only in", *difference)))


def report(measured: dict[str, Measured], sessions: int, rounds: int) -> dict[str, Any]:
    """All figures, as JSON has them."""
    for name in measured:
        peer = peer_of(VARIANTS[name])
        if peer in measured:
            assert peer is not None
            check_the_same(name, peer, measured)
    return {
        "machine": machine(),
        "sessions": sessions,
        "rounds": rounds,
        "variants": {name: _figures(name, measured) for name in measured},
    }


def _figures(name: str, measured: dict[str, Measured]) -> dict[str, Any]:
    one = measured[name]
    return {
        "means": VARIANTS[name].means,
        "instructions": _median(one.instructions),
        "instructions_x_bare": _ratio(measured, "instructions", name, "bare"),
        "instructions_x_straightforward": _ratio(measured, "instructions", name, peer_of(VARIANTS[name])),
        "cpu_us": _median(one.cpu),
        "cpu_x_bare": _ratio(measured, "cpu", name, "bare"),
        "cpu_x_straightforward": _ratio(measured, "cpu", name, peer_of(VARIANTS[name])),
        "delivered": one.delivered,
        "attributes": attributes_by_name(one.shapes),
        "same_records_as": [
            peer for peer in (peer_of(VARIANTS[name]),) if peer in measured and VARIANTS[name].sdk
        ],
    }


def _median(values: list[Any]) -> float | None:
    return statistics.median(values) if values else None


def _ratio(measured: dict[str, Measured], figure: str, name: str, other: str | None) -> float | None:
    """The median over the rounds of *name* against *other* in the same round."""
    if other not in measured or other == name:
        return None
    pairs = zip(getattr(measured[name], figure), getattr(measured[other], figure), strict=True)
    ratios = [mine / theirs for mine, theirs in pairs]
    return round(statistics.median(ratios), 4) if ratios else None


def table(result: dict[str, Any]) -> str:
    """The figures for people: a Markdown table, and what was checked."""
    lines = [f"{what}: {text}" for what, text in result["machine"].items()]
    lines += [
        "",
        "| variant | instructions | x bare | x straightforward | CPU | x bare | x straightforward | delivered |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, figures in result["variants"].items():
        cells = [
            name,
            _shown(figures["instructions"], "{:,.0f}"),
            _shown(figures["instructions_x_bare"], "{:.3f}"),
            _shown(figures["instructions_x_straightforward"], "{:.3f}"),
            _shown(figures["cpu_us"], "{:.0f} us"),
            _shown(figures["cpu_x_bare"], "{:.2f}"),
            _shown(figures["cpu_x_straightforward"], "{:.2f}"),
            ", ".join(f"{number} {kind}s" for kind, number in figures["delivered"].items() if number),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for name, figures in result["variants"].items():
        for peer in figures["same_records_as"]:
            lines.append(f"{name} and {peer} sent the same records; attributes of each:")
            lines += [f"  {what}: {number:g}" for what, number in figures["attributes"].items()]
    return "\n".join(lines)


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def main(dialogue: Dialogue, arguments: list[str] | None = None) -> int:
    """The command line."""
    variants = variants_of(dialogue.protocol)
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{dialogue.protocol}",
        description=f"What a session costs a server, per variant: {dialogue.says}.",
    )
    parser.add_argument("--sessions", type=int, default=200, help="measured per run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--variants", nargs="+", choices=variants, default=variants, metavar="NAME")
    parser.add_argument("--cpu-only", action="store_true", help="do not count instructions: that takes minutes")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)

    counts = not options.cpu_only and can_count()
    if not counts:
        print(
            "Instructions are not counted" + (": no valgrind here." if not can_count() else "."), file=sys.stderr
        )
    measured = {name: Measured() for name in options.variants}
    for number in range(1, options.rounds + 1):
        for name, into in measured.items():
            print(f"round {number} of {options.rounds}: {name}", file=sys.stderr)
            measure(dialogue, VARIANTS[name], options.sessions, counted=False, into=into)
            if counts:
                measure(dialogue, VARIANTS[name], options.sessions, counted=True, into=into)
    result = report(measured, options.sessions, options.rounds)
    print(json.dumps(result, indent=2) if options.json else table(result))
    return 0
