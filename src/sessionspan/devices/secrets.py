"""The text of a device without its secrets: known credentials, configuration secrets, keys, rules of the user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from sessionspan.devices.blocks import fenced, in_sections
from sessionspan.devices.known import Known
from sessionspan.devices.netconan import without_netconan
from sessionspan.devices.places import Place, without
from sessionspan.devices.rules import Rules, rules_with
from sessionspan.devices.user_rules import Unusable
from sessionspan.guard import guard
from sessionspan.settings import settings

ADDED: Final = 100  # secrets that a connection may learn; the oldest is forgotten first
UNREADABLE: Final = "[not shown: its secrets could not be removed]"


class Secrets:
    """What is secret on one connection.

    Args:
        known: the credentials of the connection: password, enable secret, passphrase. They are removed wherever
            they stand, plain and encoded. One of fewer than four characters is removed as a word of its own only.
        rules: the table to look for configuration secrets with; by default ours, with the user's after it
            (``SESSIONSPAN_REDACT_RULES``).

    An instance may be used by several threads.
    """

    def __init__(self, known: Iterable[str | None] = (), rules: Rules | None = None) -> None:
        self._known = tuple(Known(secret) for secret in dict.fromkeys(known) if secret)
        self._added: dict[str, Known] = {}
        self._rules = rules

    def add(self, secret: str | None) -> None:
        """From now on *secret* is known, too. Nothing and None are no secrets."""
        if secret and secret not in self._added:
            added = dict(self._added)
            added[secret] = Known(secret)
            if len(added) > ADDED:
                del added[next(iter(added))]
            self._added = added  # in one step: another thread may be reading

    def redact(self, text: str) -> str:
        """*text* without secrets, each replaced by ``***``.

        Takes time linear in the length of *text*, as far as the table goes. Cut first, with
        `sessionspan.devices.text.cut`: what it leaves is safe to redact, a text cut elsewhere may not be. Never
        raises; when it cannot do its work, a fixed text comes out.
        """
        redacted = guard(self._redacted)(text)
        return UNREADABLE if redacted is None else redacted

    def _redacted(self, text: str) -> str:
        chosen = settings()
        if isinstance(chosen.redact_rules, Unusable):
            return UNREADABLE
        rules = self._rules if self._rules is not None else rules_with(chosen.redact_rules)
        redacted = rules.rewrite(without(text, self._places(text, rules)))
        return without_netconan(redacted) if chosen.netconan else redacted

    def _places(self, text: str, rules: Rules) -> Iterator[Place]:
        for known in (*self._known, *self._added.values()):
            yield from known.places(text)
        yield from fenced(text)
        yield from in_sections(text)
        yield from rules.places(text)
