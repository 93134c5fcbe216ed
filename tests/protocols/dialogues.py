"""Dialogues for the tests of observers, as people write them."""

from __future__ import annotations

from sessionspan.events import Event, StoreMessageDelete, StoreMessageOpen, StoreMessageStore

Turn = tuple[str, bytes]


def dialogue(text: str) -> list[Turn]:
    """Turns from lines ``C: ...`` and ``S: ...``."""
    turns = []
    for line in text.strip().splitlines():
        side, _, rest = line.strip().partition(": ")
        turns.append((side, rest.encode() + b"\r\n"))
    return turns


def tell_of_store(event: Event) -> str | None:
    """What happened to a message, as people say it; None for other events."""
    match event:
        case StoreMessageOpen() | StoreMessageStore():
            word = "open" if isinstance(event, StoreMessageOpen) else "store"
            return f"{word} {event.mailbox or '-'} {event.uid or '-'} {event.size} {event.message_id or '-'}"
        case StoreMessageDelete():
            return f"delete {event.mailbox or '-'} {event.uid or '-'} {event.size}"
    return None
