"""Commands as few different texts: ``show interface GigabitEthernet0/1`` is ``show interface *``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from sessionspan.devices.vocabulary import NOUNS, SECRETIVE, SHORT, VERBS

WORDS: Final = 4  # of a fingerprint, before its last *; so the number of fingerprints has a bound
REST: Final = "*"
_LOOKED_AT: Final = 256  # characters of a command
_WORD: Final = re.compile(r"[^\s/|]+|\|")


@lru_cache(maxsize=1024)
def fingerprint(command: str) -> str:
    """*command* with its arguments as ``*``: words of a closed vocabulary, at most `WORDS` of them.

    Lower-case, abbreviations written out where they are common, one ``*`` for any number of arguments, at the end
    for all the rest. A command that begins with no known word is ``*``, and what may be a credential is an
    argument, whatever word it is. Only the first line counts.
    """
    first = next((line for line in command[:_LOOKED_AT].splitlines() if line.strip()), "").lower()
    return " ".join(_words(_WORD.findall(first)))


def _words(given: list[str]) -> list[str]:
    """The words of a fingerprint."""
    found: list[str] = []
    for at, word in enumerate(given):
        known = _known(word, first=not found)
        if len([kept for kept in found if kept != REST]) == WORDS or (known is None and not found):
            return [*found, REST] if found[-1:] != [REST] else found
        if known is not None:
            found.append(known)
        elif found[-1] != REST:
            found.append(REST)
        if known in SECRETIVE and at + 1 < len(given):
            return [*found, REST]
    return found or [REST]


def _known(word: str, first: bool) -> str | None:
    """*word* as the vocabulary has it, else None."""
    written = SHORT.get(word, "")
    if first:
        return word if word in VERBS else written if written in VERBS else None
    return (
        word if word in NOUNS or word == "|" else written if written in NOUNS else word if word in VERBS else None
    )
