"""What of netmiko's and paramiko's own logs is exported: nothing that quotes a device."""

from __future__ import annotations

import logging

import pytest

from sessionspan import exported_logs
from sessionspan.devices.wire_log import WIRE_LOGS


def exported(name: str, level: int, message: str, *args: object, error: BaseException | None = None) -> bool:
    """Whether a record may go to OTel's handler."""
    info = (type(error), error, None) if error is not None else None
    record = logging.LogRecord(name, level, __file__, 1, message, args, info)
    for log_filter in WIRE_LOGS:
        exported_logs.add(log_filter)
    try:
        return exported_logs._admits(record)
    finally:
        for log_filter in WIRE_LOGS:
            exported_logs.remove(log_filter)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("netmiko", "read_channel: rtr1#show run\nsnmp-server community n0C-r34d"),
        ("netmiko", "write_channel: b'hunter2\\n'"),
        ("netmiko.base_connection", "anything"),
        ("paramiko.transport", "userauth is OK"),
        ("paramiko.transport.sftp", "[chan 0] open(b'/etc/passwd')"),
    ],
)
def test_at_debug_nothing_leaves(name: str, message: str) -> None:
    assert not exported(name, logging.DEBUG, message)


@pytest.mark.parametrize(
    "message",
    [
        "Connected (version 2.0, client OpenSSH_9.2p1)",
        "Authentication (password) successful!",
        "sftp session closed.",
    ],
)
def test_what_paramiko_says_of_itself_leaves(message: str) -> None:
    assert exported("paramiko.transport", logging.INFO, message)


@pytest.mark.parametrize(
    "message",
    [
        "Exception (client): Error reading SSH protocol banner",
        "Traceback (most recent call last):",
        "paramiko.ssh_exception.SSHException: hunter2",
        "Disconnect (code 2): hunter2",
        "Unknown exception: hunter2",
        "Connected (version 2.0, client x password hunter22)",
    ],
)
def test_what_quotes_the_peer_stays(message: str) -> None:
    assert not exported("paramiko.transport", logging.ERROR, message)


def test_what_netmiko_says_of_itself_leaves_without_exceptions_and_secrets() -> None:
    assert exported("netmiko", logging.WARNING, "Uncommitted changes! Discarding changes!")
    assert not exported("netmiko", logging.ERROR, "Unable to send", error=OSError("hunter2"))
    assert not exported("netmiko", logging.ERROR, "%s", "snmp-server community n0C-r34d RO")


def test_other_loggers_are_not_ours_to_judge() -> None:
    assert exported("shop", logging.DEBUG, "password hunter22")
    assert exported("netmiko_tools", logging.DEBUG, "x")
