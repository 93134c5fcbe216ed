"""What an SMTP session costs aiosmtpd, per variant: ``python -m benchmarks.smtp``."""

from __future__ import annotations

import sys

from benchmarks.dialogues import SMTP
from benchmarks.ratios import main

if __name__ == "__main__":
    sys.exit(main(SMTP))
