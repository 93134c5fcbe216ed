"""The body of a log event: one line for people, from the attributes that the gate has let out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from sessionspan.events import Event, Value
from sessionspan.events.keys import COMMAND_TEXT, FINGERPRINT, REPLY_CODE, REPLY_STATUS

LINE: Final = 200  # characters

_Writer: TypeAlias = Callable[[Callable[[str], Any]], str]

_writers: dict[type[Event], _Writer] = {}


def display_line(event: Event, attributes: dict[str, Value]) -> str:
    """The name of *event*, and of *attributes* those that it shows."""
    kind = type(event)
    writer = _writers.get(kind)
    if writer is None:
        writer = _writers[kind] = _written_out(kind)
    line = writer(attributes.get)
    return line if len(line) <= LINE else line[: LINE - 3] + "..."


def _written_out(event: type[Event]) -> _Writer:
    """A function for *event* alone, with some lines for each attribute: a loop over them costs twice that."""
    lists = {str(field.metadata.get("key")) for field in dataclasses.fields(event) if "tuple" in str(field.type)}
    lines = ["def writer(get):", f"    line = {event.name.removeprefix('sessionspan.')!r}"]
    for key in event.shown:
        lines += [
            f"    value = get({key!r})",
            *_INSTEAD.get(key, ()),
            f"    if value is not None: {_form(key, lists)}",
        ]
    known: dict[str, Any] = {}
    exec("\n".join([*lines, "    return line"]), known)
    writer: _Writer = known["writer"]
    return writer


# What is shown instead of the value of a key.
_INSTEAD: Final = {
    # The command itself, where it is told.
    FINGERPRINT: (f"    value = get({COMMAND_TEXT!r}) or value",),
    # Protocols without codes answer with a word.
    REPLY_CODE: (
        f"    if value is None and (value := get({REPLY_STATUS!r})) == 'none':",
        "        value = None",
    ),
}


def _form(key: str, lists: set[str]) -> str:
    """The statement that adds the value of *key*."""
    if key in lists:
        return "line += f' {\", \".join(value)}' if value else ''"
    if key.endswith(".duration"):
        return "line += f' {value * 1000:.1f} ms' if value < 1 else f' {value:.1f} s'"
    if key.endswith(".size"):
        return "line += f' {value} B'"
    return "line += f' {value}' if value != '' else ' <>'"  # the null sender, RFC 5321 4.5.5
