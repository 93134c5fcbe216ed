"""Sessions with devices, whatever the library: what was said, and what of it may be told."""

from typing import Final

# What a device is told to do, as ``sessionspan.command.name`` has it.
VERBS: Final = ("COMMAND", "COMMIT", "CONFIG", "ENABLE", "FILE_TRANSFER", "SAVE")

# Methods of an SSH login: RFC 4252 5 to 9, RFC 4256, RFC 4462 3 and 4.
SSH_METHODS: Final = frozenset(
    (
        "gssapi-keyex",
        "gssapi-with-mic",
        "hostbased",
        "keyboard-interactive",
        "none",
        "password",
        "publickey",
    )
)
