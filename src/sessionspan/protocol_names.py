"""What is named after a protocol: the same for all its sessions, so it is made once."""

from __future__ import annotations

import functools
from typing import Final, NamedTuple

from sessionspan.metrics import Kind

# network.protocol.name is the protocol in lower case, but for these (None: not a network protocol).
_NETWORK_NAMES: Final[dict[str, str | None]] = {"JMAP": "http", "WEBSOCKET": "http", "SERIAL": None}


class NamedAfter(NamedTuple):
    """What is named after one protocol.

    Its name in lower case, ``network.protocol.name``, the name of its spans, and the kinds of its sessions in the
    metrics.
    """

    lower: str
    network: str | None
    span: str
    server: Kind
    client: Kind


@functools.lru_cache(maxsize=64)
def named_after(protocol: str) -> NamedAfter:
    """What is named after *protocol*, which is in capitals."""
    lower = protocol.lower()
    network = _NETWORK_NAMES.get(protocol, lower)
    return NamedAfter(lower, network, f"{protocol} session", Kind("server", network), Kind("client", network))
