"""The attribute keys of events that are asked for outside of the catalogue, too."""

from __future__ import annotations

from typing import Final

COMMAND_TEXT: Final = "sessionspan.command.text"
FINGERPRINT: Final = "sessionspan.command.fingerprint"
REPLY_CODE: Final = "sessionspan.reply.code"
REPLY_STATUS: Final = "sessionspan.reply.status"
