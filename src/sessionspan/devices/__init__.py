"""Sessions with devices, whatever the library: what was said, and what of it may be told."""

from typing import Final

# What a device is told to do, as ``sessionspan.command.name`` has it.
VERBS: Final = ("COMMAND", "COMMIT", "CONFIG", "ENABLE", "FILE_TRANSFER", "SAVE")
