"""What a POP3 session costs a server of one's own on asyncio, per variant: ``python -m benchmarks.pop3``."""

from __future__ import annotations

import sys

from benchmarks.dialogues import POP3
from benchmarks.ratios import main

if __name__ == "__main__":
    sys.exit(main(POP3))
