"""Which lines of netmiko's and paramiko's own logs may be exported: those that do not quote a device.

At DEBUG netmiko logs every read and write; it masks the password and the enable secret of its connection, but not
a community in an answer, nor what was typed into a dialog. paramiko can dump packets, and the exceptions of both
quote what the device said. Your own handlers get all lines as before.
"""

from __future__ import annotations

import logging
import re
from typing import Final

from sessionspan.devices.secrets import Secrets
from sessionspan.exported_logs import LogFilter

_SECRETS: Final = Secrets()

# What paramiko says of itself from INFO up; all else there quotes the peer, or is a traceback, line by line.
_OF_PARAMIKO: Final = re.compile(
    r"Connected \(version |Authentication \([\w ,-]{1,64}\) |Opened sftp connection|sftp session closed|"
    r"Auth granted|Auth rejected \(|Socket exception: |Oops, unhandled type"
)


def _admits(record: logging.LogRecord) -> bool:
    if record.levelno < logging.INFO or record.exc_info or record.exc_text or record.stack_info:
        return False
    message = record.getMessage()
    return _SECRETS.redact(message) == message


def _admits_of_paramiko(record: logging.LogRecord) -> bool:
    return _OF_PARAMIKO.match(record.getMessage()) is not None and _admits(record)


WIRE_LOGS: Final = (LogFilter("netmiko", _admits), LogFilter("paramiko", _admits_of_paramiko))
