"""Sets of message numbers (RFC 9051 9, sequence-set): ``1:4,7,9:*``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

SET: Final = re.compile(rb"[\d*]{1,10}(?::[\d*]{1,10})?(?:,[\d*]{1,10}(?::[\d*]{1,10})?)*")
HIGHEST: Final = 2**32 - 1


def ranges(text: bytes, last: int) -> Iterator[tuple[int, int]]:
    """The ranges in *text*, lower end first; ``*`` is *last*. What is no number is left out."""
    for part in text.split(b","):
        ends = [last if end == b"*" else int(end) for end in part.split(b":") if end == b"*" or end.isdigit()]
        if ends and max(ends) <= HIGHEST:
            yield min(ends), max(ends)


def numbers(text: bytes, last: int, limit: int) -> Iterator[int]:
    """The first *limit* numbers of a set, in its order."""
    return islice((number for low, high in ranges(text, last) for number in range(low, high + 1)), limit)
