"""The rules of the gate: which text may leave, in which form, and how long it may be.

Credentials have no rule here because they never come this far: no observer puts one into an event.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from sessionspan.events import REPLY_CODE, REPLY_STATUS, Event, Privacy, Value, attributes_of
from sessionspan.settings import CAPTURE, Settings, settings

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


class View:
    """One place where events go, logs or spans: its rules, and how long a text may be there."""

    def __init__(self, rules: Rules, limit: int) -> None:
        self._rules = rules
        self._limit = limit
        self._plans: dict[type[Event], list[tuple[str, str | None, Rule]]] = {}

    def redact(self, event: Event) -> dict[str, Value]:
        """The attributes of *event* as the rules of this place let them out."""
        plan = self._plans.get(type(event)) or self._plan(type(event))
        out: dict[str, Value] = {}
        for field, key, (apply, renames) in plan:
            value = getattr(event, field)
            if value is None:
                continue
            if key is None:
                out.update(value)
            elif isinstance(value, str):
                kept = apply(value) if apply is not _keep else value
                if kept is not None:
                    out[renames(key) if renames is not None else key] = clean(kept, self._limit)
            elif isinstance(value, tuple):
                kept_entries = (apply(entry) for entry in value[:LIST])
                entries = tuple(clean(kept, self._limit) for kept in kept_entries if kept is not None)
                out[renames(key) if renames is not None else key] = entries
            else:
                out[key] = value
        return out

    def _plan(self, event: type[Event]) -> list[tuple[str, str | None, Rule]]:
        """What of *event* can come out here at all, worked out once."""
        found = ((field, key, self._rules[privacy]) for field, key, privacy in attributes_of(event))
        plan = self._plans[event] = [step for step in found if step[2] is not DROP]
        return plan


class Policy:
    """The rules that follow from the settings: for log events, for spans, for identities."""

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
        self.logs = View(self._rules(chosen, *in_logs), EVENT_TEXT)
        self.spans = View(self._rules(chosen, *on_spans), SPAN_TEXT)

    def _rules(self, chosen: Settings, address: Rule, host: Rule, remark: Rule) -> Rules:
        level = CAPTURE.index(chosen.capture)
        command = KEEP if level >= CAPTURE.index("commands") else DROP
        return {
            Privacy.PLAIN: KEEP,
            Privacy.IDENTITY: self.identity,
            Privacy.ADDRESS: address,
            Privacy.HOST: host,
            Privacy.REMARK: remark,
            Privacy.COMMAND: command,
            # The text of a command that holds an envelope goes where both may go.
            Privacy.ENVELOPE_COMMAND: command if remark is KEEP else DROP,
            Privacy.CONTENT: KEEP if level >= CAPTURE.index("content") else DROP,
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


def display_line(event: Event, attributes: dict[str, Value]) -> str:
    """The body of *event*: one line for people, from what already passed the gate (*attributes*)."""
    words = [event.name.removeprefix("sessionspan.")]
    for key in event.shown:
        value = attributes.get(key)
        if value is None and key == REPLY_CODE:  # protocols without codes answer with a word
            value = attributes.get(REPLY_STATUS)
            value = None if value == "none" else value
        if value is None or value == ():
            continue
        if isinstance(value, tuple):
            words.append(", ".join(value))
        elif isinstance(value, float):
            words.append(f"{value * 1000:.1f} ms" if value < 1 else f"{value:.1f} s")
        elif key.endswith(".size"):
            words.append(f"{value} B")
        else:
            words.append(str(value) or "<>")  # the null sender, RFC 5321 4.5.5
    line = " ".join(words)
    return line if len(line) <= LINE else line[: LINE - 3] + "..."
