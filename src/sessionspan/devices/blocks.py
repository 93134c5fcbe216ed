"""Secrets that are more than a line: keys between BEGIN and END, and names that are secrets by their section."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from sessionspan.devices.grammar import MACROS
from sessionspan.devices.places import Place
from sessionspan.devices.text import GAP

# RFC 7468 3, RFC 4716 3.2 (four dashes and a blank), OpenVPN's static keys. In the text of an exception, and in
# JSON, line breaks may be written as \n.
_FENCE: Final = re.compile(r"-{4,5} ?(BEGIN|END) [A-Za-z0-9 ._-]{1,48}?-{4,5}")
_BREAK: Final = re.compile(r"(?:\\r)?\\n|\r?\n|\r")
_BODY: Final = re.compile(r"[ \t\"'>|]*(?:[A-Za-z0-9+/=]*|[\w-]{1,32}: [^\r\n]*)[ \t\"',;\\]*")


def fenced(text: str) -> Iterator[Place]:
    """What stands between BEGIN and END; when one of the two was cut off, as far as lines look like it."""
    if "BEGIN " not in text and "END " not in text:
        return
    open_at: int | None = None  # where the body of the block begins
    run_at: int | None = 0  # where the lines that look like a body begin
    line_end = 0
    for start, stop in _lines(text):
        fences = list(_FENCE.finditer(text, start, stop))
        for fence in fences:
            if fence[1] == "BEGIN":
                open_at = fence.end()
            else:
                begun = open_at if open_at is not None else run_at
                yield (start if begun is None else begun), fence.start()
                open_at = None
        looks = not fences and _BODY.fullmatch(text, start, stop) is not None
        if open_at is not None and not fences and not looks:
            yield open_at, line_end
            open_at = None
        line_end = stop
        if not looks:
            run_at = None
        elif run_at is None:
            run_at = start
    if open_at is not None:
        yield open_at, len(text)


def _lines(text: str) -> Iterator[Place]:
    start = 0
    for found in _BREAK.finditer(text):
        yield start, found.start()
        start = found.end()
    yield start, len(text)


class Section(NamedTuple):
    """A part of a configuration in which a pattern stands for a secret that it does not stand for elsewhere."""

    vendor: str
    begin: re.Pattern[str]
    end: re.Pattern[str]
    secret: re.Pattern[str]
    example: str


def _pattern(text: str) -> re.Pattern[str]:
    for name in ("{sp}", "{secret}", "{b}", "{start}"):
        text = text.replace(name, MACROS[name])
    return re.compile(text, re.IGNORECASE | re.MULTILINE | re.ASCII)


SECTIONS: Final = (
    Section(
        "fortinet",
        _pattern(r"{start}config{sp}system{sp}snmp{sp}community\b"),
        _pattern(r"^[ \t]*config{sp}(?!hosts)"),
        _pattern(r"^([ \t]+set{sp}name{sp}){secret}"),
        'config system snmp community\n    edit 1\n        set name "{secret}"\n    next\nend\n',
    ),
    Section(
        "mikrotik_routeros",
        _pattern(r"{start}/snmp[ /]community\b"),
        _pattern(r"^/"),
        _pattern(r"((?:^|/snmp[ /]community{sp})(?:add|set){sp}(?:[^\r\n]{0,200}{sp})?name=){secret}"),
        "/snmp community\nset [ find default=yes ] disabled=yes\nadd addresses=::/0 name={secret}\n",
    ),
)


def in_sections(text: str) -> Iterator[Place]:
    """The secrets of each of `SECTIONS` in *text*."""
    gap = GAP.search(text)
    if gap is None and "snmp" not in text.lower():
        return
    for section in SECTIONS:
        for start, stop in _parts(section, text, gap):
            for found in section.secret.finditer(text, start, stop):
                yield found.end(1), found.end()


def _parts(section: Section, text: str, gap: re.Match[str] | None) -> Iterator[Place]:
    """Where *section* is in *text*; behind a gap it may go on that began in what was left out."""
    if gap is not None:
        yield gap.end(), _end(section, text, gap.end())
    begin = section.begin.search(text)
    while begin is not None:
        stop = _end(section, text, begin.end())
        yield begin.start(), stop
        begin = section.begin.search(text, stop)


def _end(section: Section, text: str, at: int) -> int:
    end = section.end.search(text, at)
    return len(text) if end is None else end.start()
