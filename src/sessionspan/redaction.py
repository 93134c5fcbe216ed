"""The rules of the gate: which text may leave, in which form, and how long it may be.

Credentials have no rule here because they never come this far: no observer puts one into an event.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from sessionspan.events import (
    Event,
    Privacy,
    Value,
    attributes_of,
)
from sessionspan.levels import LEVELS
from sessionspan.settings import Settings, settings

# Bytes of UTF-8. Tempo cuts span attributes at 2,048; Loki drops lines of structured metadata over 64 KiB.
SPAN_TEXT: Final = 2_000
EVENT_TEXT: Final = 16 * 1024
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
    # Of a name without a domain nothing: it may be anything that was typed. The null sender is no name.
    _, at, host = text.rpartition("@")
    return host if at or not text else None


def _host(text: str) -> str | None:
    return text.rpartition("@")[2]


def _keep(text: str) -> str | None:
    return text


def _drop(text: str) -> str | None:
    return None


KEEP: Final = Rule(_keep)
DROP: Final = Rule(_drop)
DOMAIN: Final = Rule(_domain)
HOST: Final = Rule(_host)

Rules: TypeAlias = dict[Privacy, Rule]
Shaper: TypeAlias = Callable[[Event, dict[str, Value]], None]


class View:
    """One place where events go, logs or spans: its rules, and how long a text may be there.

    *with_facts*: whether events that repeat the facts of their session do so there.
    """

    def __init__(self, rules: Rules, limit: int, *, with_facts: bool) -> None:
        self._rules = rules
        self._limit = limit
        self._with_facts = with_facts
        self._shapers: dict[type[Event], Shaper] = {}

    def redact(self, event: Event, out: dict[str, Value] | None = None) -> dict[str, Value]:
        """The attributes of *event* as the rules of this place let them out; added to *out* when given."""
        if out is None:
            out = {}
        shaper = self._shapers.get(type(event))
        if shaper is None:
            shaper = self._shapers[type(event)] = self._written_out(type(event))
        shaper(event, out)
        return out

    def _written_out(self, event: type[Event]) -> Shaper:
        """A function for *event* alone, each field with its lines: a loop over them costs three times that."""
        known: dict[str, Any] = {"LIMIT": self._limit, "shape": self._shape}
        lines = ["def shaper(event, out):"]
        for field, key, privacy, is_text in attributes_of(event):
            rule = known[f"rule_{field}"] = self._rules[privacy]
            if rule is DROP or (key is None and not self._with_facts):
                continue
            lines.append(f"    value = event.{field}")
            shaped = f"shape(out, {key!r}, rule_{field}, value)" if is_text else f"out[{key!r}] = value"
            lines.append("    if value is not None:")
            if is_text and rule is KEEP:
                lines += [
                    "        if type(value) is str and len(value) <= LIMIT"
                    " and value.isascii() and value.isprintable():",
                    f"            out[{key!r}] = value",
                    f"        else: {shaped}",
                ]
            else:
                lines.append(f"        {shaped}")
        exec("\n".join([*lines, "    return None"]), known)  # as dataclasses does for __init__
        shaper: Shaper = known["shaper"]
        return shaper

    def _shape(self, out: dict[str, Value], key: str, rule: Rule, value: Any) -> None:
        """Add to *out* what *rule* makes of *value*, a text, a tuple of texts or a map of attributes."""
        apply, renames = rule
        if isinstance(value, Mapping):
            out.update(value)
        elif isinstance(value, tuple):
            kept = (apply(entry) for entry in value[:LIST])
            texts = tuple(clean(text, self._limit) for text in kept if text is not None)
            out[renames(key) if renames is not None else key] = texts
        elif (shown := apply(value)) is not None:
            out[renames(key) if renames is not None else key] = clean(shown, self._limit)


class Views(NamedTuple):
    """The two places where the events of one session go."""

    logs: View
    spans: View


class Policy:
    """The rules that follow from the settings: for log events and for spans, by level, and for identities."""

    def __init__(self, chosen: Settings) -> None:
        self._key = chosen.hash_key
        hashed = Rule(functools.lru_cache(maxsize=1024)(self._hash), hashed_key)
        self.identity = {"plain": KEEP, "hash": hashed, "off": DROP}[chosen.identity]
        # Spans travel further than logs (trace views, sampling services), so they get less of an envelope:
        # rules for an address, a host name and a remark.
        in_logs, on_spans = {
            "plain": ((KEEP, KEEP, KEEP), (DOMAIN, HOST, DROP)),
            "domain": ((DOMAIN, HOST, DROP), (DOMAIN, HOST, DROP)),
            "hash": ((hashed, hashed, DROP), (hashed, hashed, DROP)),
            "off": ((DROP, DROP, DROP), (DROP, DROP, DROP)),
        }[chosen.envelope]
        self._views = {
            level: Views(
                View(self._rules(level, *in_logs), EVENT_TEXT, with_facts=True),
                # The facts of a session are the attributes of its span.
                View(self._rules(level, *on_spans), SPAN_TEXT, with_facts=False),
            )
            for level in LEVELS
        }

    def at(self, level: str) -> Views:
        """The views of a session whose dialogue is recorded at *level*."""
        return self._views[level]

    def _rules(self, level: str, address: Rule, host: Rule, remark: Rule) -> Rules:
        reached = LEVELS.index(level)
        command = KEEP if reached >= LEVELS.index("commands") else DROP
        content = KEEP if reached >= LEVELS.index("content") else DROP
        return {
            Privacy.PLAIN: KEEP,
            Privacy.IDENTITY: self.identity,
            Privacy.ADDRESS: address,
            Privacy.HOST: host,
            Privacy.REMARK: remark,
            Privacy.COMMAND: command,
            # The text of a command that holds an envelope goes where both may go.
            Privacy.ENVELOPE_COMMAND: command if remark is KEEP else DROP,
            Privacy.CONTENT: content,
            Privacy.ENVELOPE_CONTENT: content if remark is KEEP else DROP,
        }

    def _hash(self, text: str) -> str | None:
        return hmac.new(self._key, text.encode("utf-8", "backslashreplace"), hashlib.sha256).hexdigest()


# OpenTelemetry's namespaces are its own: where it defines no name for a hash, ours is used.
_HASHED_KEYS: Final = {
    "user.name": "user.hash",
    "client.address": "sessionspan.client.hash",
    "tls.client.subject": "sessionspan.tls.client.subject.hash",
}


def hashed_key(key: str) -> str:
    """The key under which the hash of *key*'s value goes: one that OpenTelemetry or we define."""
    return _HASHED_KEYS.get(key, f"{key}.hash")


_policy: tuple[Settings, Policy] | None = None


def policy() -> Policy:
    """The policy of the settings in force."""
    global _policy
    chosen = settings()
    if _policy is None or _policy[0] is not chosen:
        _policy = (chosen, Policy(chosen))
    return _policy[1]
