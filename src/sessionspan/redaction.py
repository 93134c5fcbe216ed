"""The rules of the gate: which text may leave, in which form, and how long it may be.

Credentials have no rule here because they never come this far: no observer puts one into an event.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from sessionspan.events import Event, Privacy, Value, attributes_of
from sessionspan.settings import Settings, settings

# Bytes of UTF-8. Tempo cuts span attributes at 2,048; Loki drops lines of structured metadata over 64 KiB.
SPAN_TEXT: Final = 2_000
EVENT_TEXT: Final = 16 * 1024
LINE: Final = 200  # characters of a display line
LIST: Final = 100  # entries of a list


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


class Rule(NamedTuple):
    """What becomes of a text of one class: ``apply`` gives it or None, ``renames`` the key it goes under."""

    apply: Callable[[str], str | None]
    renames: Callable[[str], str] | None = None


def _domain(text: str) -> str | None:
    # Of a name without a domain nothing: it may be anything that was typed.
    _, at, host = text.rpartition("@")
    return host if at else None


def _host(text: str) -> str | None:
    return text.rpartition("@")[2]


KEEP: Final = Rule(lambda text: text)
DROP: Final = Rule(lambda text: None)
DOMAIN: Final = Rule(_domain)
HOST: Final = Rule(_host)

Rules: TypeAlias = dict[Privacy, Rule]


class Policy:
    """The rules that follow from the settings, for log events and for spans."""

    def __init__(self, chosen: Settings) -> None:
        self._key = chosen.hash_key
        self.hash = functools.lru_cache(maxsize=1024)(self._hash)
        hashed = Rule(self.hash, hashed_key)
        self.identity = {"plain": KEEP, "hash": hashed, "off": DROP}[chosen.identity]
        captures = ("off", "metadata", "commands", "content").index(chosen.capture)
        common: Rules = {
            Privacy.PLAIN: KEEP,
            Privacy.IDENTITY: self.identity,
            Privacy.COMMAND: KEEP if captures >= 2 else DROP,
            Privacy.CONTENT: KEEP if captures >= 3 else DROP,
        }
        # Spans travel further than logs (trace views, sampling services), so they get less of an envelope.
        by_envelope = {
            "plain": ((KEEP, KEEP, KEEP), (DOMAIN, HOST, DROP)),
            "domain": ((DOMAIN, HOST, DROP),) * 2,
            "hash": ((hashed, hashed, DROP),) * 2,
            "off": ((DROP, DROP, DROP),) * 2,
        }
        classes = (Privacy.ADDRESS, Privacy.HOST, Privacy.REMARK)
        logs, spans = (common | dict(zip(classes, rules, strict=True)) for rules in by_envelope[chosen.envelope])
        for rules in (logs, spans):
            # The text of a command that holds an envelope goes where both classes may go.
            rules[Privacy.ENVELOPE_COMMAND] = (
                KEEP if rules[Privacy.REMARK] is rules[Privacy.COMMAND] is KEEP else DROP
            )
        self.in_logs = logs
        self.on_spans = spans

    def _hash(self, text: str) -> str | None:
        return hmac.new(self._key, text.encode("utf-8", "backslashreplace"), hashlib.sha256).hexdigest()


def hashed_key(key: str) -> str:
    """The key under which the hash of *key*'s value goes: one that OpenTelemetry or we define."""
    return {"user.name": "user.hash", "client.address": "sessionspan.client.hash"}.get(key, f"{key}.hash")


_policy: tuple[Settings, Policy] | None = None


def policy() -> Policy:
    """The policy of the settings in force."""
    global _policy
    chosen = settings()
    if _policy is None or _policy[0] is not chosen:
        _policy = (chosen, Policy(chosen))
    return _policy[1]


def redact(event: Event, rules: Rules, limit: int) -> dict[str, Value]:
    """The attributes of *event* as *rules* let them out, each text at most *limit* bytes."""
    out: dict[str, Value] = {}
    for field, key, privacy in attributes_of(type(event)):
        value = getattr(event, field)
        if value is None:
            continue
        if key is None:
            out.update(value)
        elif isinstance(value, str):
            apply, renames = rules[privacy]
            kept = apply(value)
            if kept is not None:
                out[renames(key) if renames else key] = clean(kept, limit)
        elif isinstance(value, tuple):
            apply, renames = rules[privacy]
            entries = tuple(clean(kept, limit) for entry in value[:LIST] if (kept := apply(entry)) is not None)
            if entries or apply is not DROP.apply:
                out[renames(key) if renames else key] = entries
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
