"""The SDK, where the application has loaded it: our modules that know it are loaded by name.

The core imports no SDK, so nobody pays for one that is not used.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any, Final

from sessionspan.guard import guard

_SDK: Final = "opentelemetry.sdk."


@functools.cache
@guard
def knowing(kind: type, module: str) -> Any:
    """The *module* of ours that knows the SDK's classes, when *kind* is one of them; else None."""
    return importlib.import_module(module) if kind.__module__.startswith(_SDK) else None
