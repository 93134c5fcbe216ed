"""The rules of the gate: which text may leave, in which form, and how long it may be.

Credentials have no rule here because they never come this far: no observer puts one into an event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from sessionspan.events import Event, Privacy, Value, attributes_of

# Bytes of UTF-8. Tempo cuts span attributes at 2,048; Loki drops lines of structured metadata over 64 KiB.
SPAN_TEXT: Final = 2_000
EVENT_TEXT: Final = 16 * 1024
LINE: Final = 200  # characters of a display line
LIST: Final = 100  # entries of a list

Rule: TypeAlias = Callable[[str], "str | None"]


def clean(text: str, limit: int = EVENT_TEXT) -> str:
    """*text* as it may go to a log view: control characters and surrogates escaped, at most *limit* bytes."""
    if text.isascii() and text.isprintable():  # the common case costs two scans in C
        return text if len(text) <= limit else text[: limit - 3] + "..."
    shown = "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in text[:limit]
    )
    encoded = shown.encode()
    if len(encoded) <= limit and len(text) <= limit:
        return shown
    return encoded[: limit - 3].decode(errors="ignore") + "..."


def domain(text: str) -> str | None:
    """The domain of a mail address; None for a name without one, which may be anything that was typed."""
    _, at, host = text.rpartition("@")
    return host if at else None


def host(text: str) -> str | None:
    """A host name; of what looks like an address, its domain."""
    return text.rpartition("@")[2]


def keep(text: str) -> str | None:
    """The text as it is."""
    return text


def drop(text: str) -> str | None:
    """Nothing."""
    return None


# What each class becomes in a log event, and on the span. Spans travel further (trace views, sampling
# services), so they get less.
IN_LOGS: Final[dict[Privacy, Rule]] = {
    Privacy.PLAIN: keep,
    Privacy.ADDRESS: keep,
    Privacy.HOST: keep,
    Privacy.REMARK: keep,
    Privacy.CONTENT: drop,
}
ON_SPANS: Final[dict[Privacy, Rule]] = {
    Privacy.PLAIN: keep,
    Privacy.ADDRESS: domain,
    Privacy.HOST: host,
    Privacy.REMARK: drop,
    Privacy.CONTENT: drop,
}


def redact(event: Event, rules: dict[Privacy, Rule], limit: int) -> dict[str, Value]:
    """The attributes of *event* as *rules* let them out, each text at most *limit* bytes."""
    out: dict[str, Value] = {}
    for field, key, privacy in attributes_of(type(event)):
        value = getattr(event, field)
        if value is None:
            continue
        if key is None:
            out.update(value)
            continue
        rule = rules[privacy]
        if isinstance(value, str):
            value = rule(value)
            if value is not None:
                out[key] = clean(value, limit)
        elif isinstance(value, tuple):
            kept = (rule(entry) for entry in value[:LIST])
            out[key] = tuple(clean(entry, limit) for entry in kept if entry is not None)
        else:
            out[key] = value
    return out


def display_line(event: Event, attributes: dict[str, Value]) -> str:
    """The body of *event*: one line for people, from what already passed the gate (*attributes*)."""
    words = [event.name.removeprefix("sessionspan.")]
    for key in event.shown:
        value = attributes.get(key)
        if value is None or value == ():
            continue
        if isinstance(value, tuple):
            words.append(", ".join(value))
        elif isinstance(value, float):
            words.append(f"{value * 1000:.1f} ms" if value < 1 else f"{value:.1f} s")
        elif key.endswith(".size"):
            words.append(f"{value} B")
        else:
            words.append(str(value))
    line = " ".join(words)
    return line if len(line) <= LINE else line[: LINE - 3] + "..."
