"""How the doctor's findings are printed: a grouped list for people, one JSON object for programs."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import click
from rich.console import Console
from rich.text import Text

from sessionspan.cli.doctor.exporting import tried
from sessionspan.cli.doctor.findings import LEVELS, Finding, worst
from sessionspan.cli.doctor.subject import Subject
from sessionspan.sinks.text import encoding_of, wants_colour
from sessionspan.version import __version__

SCHEMA: Final = 1  # of the JSON; it grows, a change of what is there gets a new number

_TITLES: Final = {
    "program": "The program",
    "launcher": "Its launcher",
    "libraries": "What is recorded",
    "identity": "Under which name",
    "export": "Where it goes",
    "privacy": "What leaves, and what does not",
    "canary": "The canary",
}
_MARKS: Final = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}
_INSTEAD: Final = {"✓": "-", "✗": "X", "→": "->"}
_WIDTH: Final = 110
_COMMAND: Final = re.compile(r"(?:export|unset|sessionspan) |\S+ -m pip ")  # a line to copy


def print_json(subject: Subject, groups: Mapping[str, Sequence[Finding]]) -> None:
    """One object: what was looked at, the findings, and where each signal goes."""
    findings = [
        {"group": group, "id": each.id, "level": each.level, "what": each.what, "do": each.do}
        for group, every in groups.items()
        for each in every
    ]
    hide = subject.secrets.hide
    told = {
        "schema": SCHEMA,
        "sessionspan": __version__,
        "command": [hide(word) for word in subject.command],
        "launcher": subject.launcher,
        "interpreter": subject.interpreter,
        "level": worst(each for every in groups.values() for each in every),
        "findings": findings,
        "signals": [_signal(subject, *each) for each in tried(subject)],
    }
    click.echo(json.dumps(told, indent=2))


def _signal(subject: Subject, each: Any, outcome: Any) -> dict[str, Any]:
    hide = subject.secrets.hide
    return {
        "signal": each.signal,
        "exporter": hide(each.exporter),
        "protocol": hide(each.protocol),
        "endpoint": hide(each.shown),
        "headers": sorted(dict(each.headers)),
        "compression": each.compression,
        "outcome": outcome.kind if outcome is not None else None,
    }


def print_text(subject: Subject, groups: Mapping[str, Sequence[Finding]]) -> None:
    """The findings by group, each with what to do, and a last line that sums up."""
    colour = wants_colour(sys.stdout)
    # Lines are broken here, and never by rich: a command that somebody copies stays in one piece.
    console = Console(force_terminal=colour, no_color=not colour, highlight=False, soft_wrap=True)
    unicode = encoding_of(sys.stdout).lower().replace("-", "").startswith("utf")
    words = subject.secrets.hide(" ".join(subject.command) or "sessionspan run python")
    console.print(Text.assemble(("sessionspan doctor", "bold"), f" {__version__}: {words}"))
    for group, findings in groups.items():
        if findings:
            console.print()
            console.print(Text(_TITLES[group], "bold"))
        for place, each in enumerate(findings):
            # Signals often have one and the same advice: it stands below the last of them.
            last = place + 1 == len(findings) or findings[place + 1].do != each.do
            for line in _lines(each, min(console.width, _WIDTH), last):
                console.print(line if unicode else _ascii(line))
    console.print()
    console.print(_sum(each for every in groups.values() for each in every))


def _lines(each: Finding, width: int, advise: bool) -> Iterator[Text]:
    """The lines of one finding: a mark, what is, and below it what to do."""
    mark, style = _MARKS[each.level]
    first = Text.assemble("  ", (mark, style), " ")
    what = each.what if each.level == "ok" else f"{each.what} [{each.id}]"
    for line in _wrapped(what, width - 4):
        yield first + Text(line)
        first = Text("    ")
    arrow = "→ "
    for line in _wrapped(each.do, width - 6) if advise and each.do else ():
        yield Text.assemble("    ", (arrow + line, "" if each.level == "ok" else "cyan"))
        arrow = "  "


def _wrapped(text: str, width: int) -> Iterator[str]:
    for line in text.split("\n"):
        if _COMMAND.match(line):
            yield line
        else:
            yield from textwrap.wrap(line, max(width, 30), break_long_words=False, break_on_hyphens=False)


def _ascii(line: Text) -> Text:
    """*line* for a terminal that has no other characters; what is not ours is shown escaped."""
    plain = line.plain
    for ours, instead in _INSTEAD.items():
        plain = plain.replace(ours, instead)
    return Text(plain.encode("ascii", "backslashreplace").decode())


def _sum(findings: Iterable[Finding]) -> Text:
    counts = Counter(each.level for each in findings)
    parts = [
        f"{counts[level]} {level}{'s' if counts[level] != 1 else ''}" for level in LEVELS[:0:-1] if counts[level]
    ]
    if not parts:
        return Text("All well.", "green")
    style = "red" if counts["error"] else "yellow"
    return Text(f"{', '.join(parts)}. Each is explained in docs/doctor.md under its [id].", style)
