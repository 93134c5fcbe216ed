"""netconan's rules after ours, for who asks for them (``SESSIONSPAN_NETCONAN=on``).

https://github.com/intentionet/netconan. It removes more than ours (whole lines that hold a public key, numbers
behind the word `key`), takes many times longer, and its patterns are not made for hostile text.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from types import ModuleType
from typing import Any, Final

_MODULE: Final = "netconan.sensitive_item_removal"
_SALT: Final = "sessionspan"  # of what it puts in the place of $9$ secrets; nothing is kept, so it hides nothing
NEEDED: Final = "pip install 'sessionspan[netconan]'"


class _Silent:
    """In place of `logging`: netconan logs what it found, secrets included, and sets up the root logger."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


def installed() -> bool:
    """Whether netconan can be used."""
    return importlib.util.find_spec("netconan") is not None


@lru_cache(maxsize=1)
def _engine() -> tuple[ModuleType, Any] | None:
    if not installed():
        return None
    # A copy of the module that only we have: the application may use netconan, and its log, itself.
    spec = importlib.util.find_spec(_MODULE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module)["logging"] = _Silent()
    return module, module.generate_default_sensitive_item_regexes()


def without_netconan(text: str) -> str:
    """*text* without what netconan finds; as it is when netconan is not installed (a line at start says so)."""
    engine = _engine()
    if engine is None:
        return text
    module, patterns = engine
    # A fresh lookup each time: netconan keeps what it removed in it.
    return "".join(
        module.replace_matching_item(patterns, line, {}, _SALT) for line in text.splitlines(keepends=True)
    )
