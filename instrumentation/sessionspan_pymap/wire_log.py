"""Which lines of pymap's own wire logs may be exported: those that do not quote what was said on the wire.

At DEBUG it logs all that clients send, LOGIN and the answers of AUTHENTICATE included, and all that it answers,
mail and scripts included. Your own handlers get all lines as before.
"""

from __future__ import annotations

import logging
from typing import Final

from sessionspan.exported_logs import LogFilter

_WIRE_LOGS: Final = frozenset(("pymap.imap", "pymap.sieve.manage"))
_ADMITTED: Final = frozenset(
    (
        "%s +++| %s",
        "%s ---| %s",
        "%s <->| %s",
        "%s <->| <TLS failure: %s>",
        "%d +++| %s",
        "%d ---| %s",
        "%d <->| %s",
    )
)


def _admits(record: logging.LogRecord) -> bool:
    return record.name not in _WIRE_LOGS or record.msg in _ADMITTED


WIRE_LOG: Final = LogFilter("pymap", _admits)
