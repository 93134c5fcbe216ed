"""Tests of what cannot be installed for this Python, or beside the oldest dependencies, are not collected."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

collect_ignore = (
    [] if sys.version_info >= (3, 11) else [path.name for path in Path(__file__).parent.glob("test_pymap*.py")]
)

# fakenos is no part of the `floor` group.
collect_ignore += [] if find_spec("fakenos") else ["test_netmiko_fakenos.py"]
