"""Tests of instrumentations whose library cannot be installed for this Python are not collected."""

from __future__ import annotations

import sys

collect_ignore = [] if sys.version_info >= (3, 11) else ["test_pymap.py", "test_pymap_clients.py"]
