"""How the client's next bytes are read: the modes of all observers, of which each protocol has some.

Numbers of a module: one is asked for with each line, and CPython 3.11 calls a function for a member of an Enum.
"""

from __future__ import annotations

from typing import Final

GREETING: Final = 0  # the server has not spoken; in lock-step, what it takes now is a PROXY header
LINES: Final = 1
HELD: Final = 2  # the reply to a command decides how to go on
SASL: Final = 3
CONTENT: Final = 4  # of a message, up to a dot
CHUNK: Final = 5  # so many bytes of a message
ANNOUNCED: Final = 6  # a literal that is sent when the server asks for it
LITERAL: Final = 7
MORE: Final = 8  # the line goes on behind a literal
IDLE: Final = 9
LOST: Final = 10  # compressed, or we lost track; nothing is read any more
