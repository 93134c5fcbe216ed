"""Whether the SDK was told to limit attributes further than we do: then it shall do it."""

from __future__ import annotations

from typing import Any, Final

ATTRIBUTES: Final = 128  # the SDK's default limit of their number; nothing of ours has so many


def permit(limits: Any, counts: tuple[str, ...], lengths: tuple[str, ...]) -> bool:
    """Whether nothing of ours exceeds *limits*, whose fields have these names in some version of the SDK."""
    numbers = [getattr(limits, name, None) for name in counts]
    return all(number is None or number >= ATTRIBUTES for number in numbers) and all(
        getattr(limits, name, None) is None for name in lengths
    )
