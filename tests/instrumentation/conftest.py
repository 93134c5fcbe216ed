"""Tests of instrumentations whose library cannot be installed for this Python are not collected."""

from __future__ import annotations

import sys
from pathlib import Path

collect_ignore = (
    [] if sys.version_info >= (3, 11) else [path.name for path in Path(__file__).parent.glob("test_pymap*.py")]
)
