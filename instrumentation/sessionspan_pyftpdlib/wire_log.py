"""Which lines of pyftpdlib's own log may be exported: those that do not quote what was said on the wire.

At DEBUG it logs each line of the client (all but those that begin with PASS: a password sent at the wrong
moment is there) and each reply (an authorizer's may quote the password); an exception's text may, too. At INFO
an application can add commands to ``FTPHandler.log_cmds_list``. Your own handlers get all lines as before.
"""

from __future__ import annotations

import logging
import re
from typing import Final

from sessionspan.exported_logs import LogFilter
from sessionspan.settings import settings

_MAY_QUOTE: Final = re.compile(r"\b(?:PASS|ACCT|ADAT|AUTH|SITE|REIN)\b|Traceback| -> | <- ", re.IGNORECASE)


def _admits(record: logging.LogRecord) -> bool:
    if record.levelno < logging.INFO or record.exc_info:
        return False
    if settings().identity != "plain":  # nearly every line begins with the client's address and the user
        return False
    return _MAY_QUOTE.search(record.getMessage()) is None


WIRE_LOG: Final = LogFilter("pyftpdlib", _admits)
