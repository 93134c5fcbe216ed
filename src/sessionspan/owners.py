"""Which classes an instrumentation listens to: a connection that they serve is not taken a second time."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any, Final

_patched: Final[dict[Any, Counter[str]]] = {}  # class -> how many patches of which scope


def add(owner: Any, scope: str) -> None:
    """A function of the class *owner* was patched by the instrumentation *scope*."""
    _patched.setdefault(owner, Counter())[scope] += 1


def remove(owner: Any, scope: str) -> None:
    """One of the patches of *scope* in *owner* was taken back."""
    counts = _patched.get(owner, Counter())
    counts[scope] -= 1
    if not +counts:
        _patched.pop(owner, None)


def serves(served: Any, besides: str) -> bool:
    """Whether *served* is of a class that some instrumentation listens to, *besides* the scope of that name.

    *served* is the protocol or handler of a connection, or a callback: a function, a method, an object that is
    called, a `functools.partial` of these. Other people's wrapping is not looked through.
    """
    if isinstance(served, functools.partial):
        return any(serves(part, besides) for part in (served.func, *served.args))
    bound = getattr(served, "__self__", served)
    return any(set(_patched.get(kind, ())) - {besides} for kind in type(bound).__mro__)
