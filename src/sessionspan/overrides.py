"""Patches of methods that subclasses override without ``super()``: those of now, and those still to come.

netmiko has 202 classes of devices, and people write their own: a patch of the base class alone would miss half.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any, Final
from weakref import WeakSet

from sessionspan.guard import guard
from sessionspan.wrappers import Wrapper

_HOOK: Final = "__init_subclass__"


class Overrides:
    """The patches of one base class that hold for what overrides its methods, too."""

    def __init__(self, base: type, wrappers: Mapping[str, Wrapper]) -> None:
        self._base = base
        self._wrappers = wrappers
        self._ours: WeakSet[Any] = WeakSet()  # our functions; classes are not kept alive
        self._own_hook = vars(base).get(_HOOK)

    def apply(self) -> None:
        """Wrap every override that there is, and each later one when its class is made."""
        own, wrap = self._own_hook, guard(self._wrap)
        base: Any = self._base

        def hook(cls: type[Any], /, **kwargs: Any) -> None:
            if own is not None:
                own.__func__(cls, **kwargs)
            else:
                super(base, cls).__init_subclass__(**kwargs)
            wrap(cls)

        self._hook = classmethod(hook)
        setattr(base, _HOOK, self._hook)
        for cls in _below(base):
            self._wrap(cls)

    def restore(self) -> None:
        """Put back what is still ours."""
        if vars(self._base).get(_HOOK) is self._hook:
            if self._own_hook is not None:
                setattr(self._base, _HOOK, self._own_hook)
            else:
                delattr(self._base, _HOOK)
        for cls in _below(self._base):
            for name in self._wrappers:
                found = vars(cls).get(name)
                if isinstance(found, FunctionType) and found in self._ours:
                    setattr(cls, name, found.__wrapped__)  # type: ignore[attr-defined]

    def _wrap(self, cls: type) -> None:
        for name, wrapper in self._wrappers.items():
            found = vars(cls).get(name)
            # An alias of a method that is wrapped already is not wrapped twice.
            if isinstance(found, FunctionType) and found not in self._ours:
                wrapped = wrapper(found)
                self._ours.add(wrapped)
                setattr(cls, name, wrapped)


def _below(base: type) -> Iterator[type]:
    seen: set[type] = set()
    waiting: list[type] = base.__subclasses__()
    while waiting:
        cls = waiting.pop()
        if cls not in seen:
            seen.add(cls)
            waiting += cls.__subclasses__()
            yield cls
