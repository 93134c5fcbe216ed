"""The rules that find secrets in the text of devices by what stands around them: data in, places out.

The table is `sessionspan.devices.table`; rules of users come after it, see `sessionspan.devices.user_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from sessionspan.devices.grammar import MACROS, Rule
from sessionspan.devices.places import Place


class Rewrite(NamedTuple):
    """A rule of a user: what `re.sub` is called with."""

    pattern: re.Pattern[str]
    replace: str


def compiled(pattern: str) -> re.Pattern[str]:
    """*pattern* of the table as a regular expression."""
    for name, meaning in MACROS.items():
        pattern = pattern.replace(name, meaning)
    # ASCII: what Unicode calls a blank may be in a secret.
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE | re.ASCII)


class Rules:
    """A table, compiled, and the rules of a user that come after it.

    A pattern is tried only on lines that hold one of its words: most lines hold none, and looking for words is
    many times faster than trying patterns. Every pattern sees the text as it came, so that no rule, by removing
    the wrong word, hides a secret from another.
    """

    def __init__(self, table: Iterable[Rule], own: Iterable[Rewrite] = ()) -> None:
        self._steps = [(frozenset(rule.words), compiled(rule.pattern)) for rule in table]
        self._words = frozenset().union(*(words for words, _ in self._steps))
        self._own = tuple(own)

    def places(self, text: str) -> Iterator[Place]:
        """Where the table finds a secret in *text*."""
        lower = text.lower()
        present = {word for word in self._words if word in lower}
        if not present:
            return
        # Some letters have more than one in lower case (U+0130), and then places in the two are not the same.
        one_line = None if len(lower) == len(text) else [(0, len(text))]
        for words, pattern in self._steps:
            if present.isdisjoint(words):
                continue
            for start, stop in one_line or _lines_with(words & present, lower):
                for match in pattern.finditer(text, start, stop):
                    yield match.end(1) if pattern.groups else match.start(), match.end()

    def rewrite(self, text: str) -> str:
        """*text* as the rules of the user rewrite it."""
        for pattern, replace in self._own:
            text = pattern.sub(replace, text)
        return text


def _lines_with(words: Iterable[str], text: str) -> set[Place]:
    """The lines of *text* that hold one of *words*."""
    found = set()
    for word in words:
        at = text.find(word)
        while at >= 0:
            start, stop = text.rfind("\n", 0, at) + 1, text.find("\n", at)
            if stop < 0:
                stop = len(text)
            found.add((start, stop))
            at = text.find(word, stop)
    return found


@lru_cache(maxsize=4)
def rules_with(own: tuple[Rewrite, ...]) -> Rules:
    """Our table, then the rules *own* of a user."""
    from sessionspan.devices.table import TABLE  # compiled for the first device, not for every import

    return Rules(TABLE, own)
