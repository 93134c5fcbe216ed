"""What an IMAP session costs pymap, per variant: ``python -m benchmarks.imap``."""

from __future__ import annotations

import sys

from benchmarks.dialogues import IMAP
from benchmarks.ratios import main

if __name__ == "__main__":
    sys.exit(main(IMAP))
