"""What an event is called in the systems that users come from: the catalogue's `seed_names`, projected.

The catalogue has every name that a class of events can have, a column for each system. Where a system tells
apart what is one event here, `_WHEN` says which events a name holds for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sessionspan import names
from sessionspan.events import Event, SeedNames, SessionEnd

# The columns, as people know the systems (docs/migration).
SYSTEMS: Final[dict[str, str]] = {
    "rusmes": "rusmes",
    "rustbucket": "rustbucket",
    "netmiko": "netmiko session logs",
    "popstore": "PMDF popstore",
    "kumomta": "KumoMTA",
}
assert tuple(SYSTEMS) == SeedNames._fields

# Ends of a connection that never came about, as far as the other side is concerned.
_NEVER_ESTABLISHED: Final = frozenset(("connect_failed", "tls_failed", "auth_failed"))


def _failed(end: SessionEnd) -> bool:
    return (end.facts or {}).get(names.END_REASON) in _NEVER_ESTABLISHED


_WHEN: Final[dict[tuple[str, str], Callable[[Any], bool]]] = {
    ("netmiko", "connection_failed"): _failed,
    ("netmiko", "disconnection"): lambda end: not _failed(end),
}


def names_in(system: str, event: Event) -> tuple[str, ...]:
    """What *system* calls *event*, in the order in which it tells it; empty when it has no name for it."""
    found: tuple[str, ...] = getattr(event.seed_names, system)
    return tuple(name for name in found if _WHEN.get((system, name), _always)(event))


def _always(event: Event) -> bool:
    return True
