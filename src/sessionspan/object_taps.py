"""Ways to listen in to methods of one object: they are replaced on that object only, and put back as they were.

For libraries whose connection is an object that a loop calls back. Subclasses override methods of such objects
without ``super()``; what is called is the object's own, so it is heard here. Slots, not closures: an idle
connection keeps some ten of these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from opentelemetry.context import attach, detach

from sessionspan.guard import guard
from sessionspan.session import Session

_ABSENT: Final[Any] = object()


class Tap:
    """One method of one object, with *look*, which is told the arguments."""

    __slots__ = ("_call", "_look", "_name", "_own", "_owner")

    def __init__(self, owner: Any, name: str, look: Callable[..., Any]) -> None:
        self._owner = owner
        self._name = name
        self._look = look
        self._own = vars(owner).get(name, _ABSENT)
        self._call = getattr(owner, name)
        setattr(owner, name, self)

    def __getattr__(self, name: str) -> Any:
        """What else is asked of the method: its name, its object."""
        return getattr(self._call, name)

    def take_back(self) -> None:
        """Put back what was there, unless somebody has put something else over it."""
        if vars(self._owner).get(self._name) is not self:
            return
        if self._own is _ABSENT:
            delattr(self._owner, self._name)
        else:
            setattr(self._owner, self._name, self._own)


class TapBefore(Tap):
    """Look, then call."""

    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the loop or the library calls."""
        with guard:
            self._look(*args, **kwargs)
        return self._call(*args, **kwargs)


class TapDuring(Tap):
    """Look, call, and say *ends*, whatever the method returns or raises."""

    __slots__ = ("_ends",)

    def __init__(
        self, owner: Any, name: str, look: Callable[..., Any], ends: Callable[[], Any] = lambda: None
    ) -> None:
        super().__init__(owner, name, look)
        self._ends = ends

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the loop or the library calls."""
        with guard:
            self._look(*args, **kwargs)
        try:
            return self._call(*args, **kwargs)
        finally:
            with guard:
                self._ends()


class TapInSession(TapDuring):
    """As `TapDuring`, inside the session that *look* returns, if any."""

    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the loop or the library calls."""
        session: Session | None = None
        with guard:
            session = self._look(*args, **kwargs)
        # Attached and detached in one synchronous call: a context never crosses a yield.
        token = attach(session.context) if session is not None and not session.ended else None
        try:
            return self._call(*args, **kwargs)
        finally:
            if token is not None:
                detach(token)
            with guard:
                self._ends()


class TapWrites(Tap):
    """A method that sends bytes: call, then tell *look* what was sent."""

    __slots__ = ()

    def __call__(self, data: Any) -> Any:
        """What the library calls."""
        result = self._call(data)
        with guard:
            self._look(bytes(data))  # of bytes no copy; a bytearray may be used again
        return result


class TapWritesMany(TapDuring):
    """A method that sends many pieces of bytes; it may do so by another one, meanwhile."""

    __slots__ = ()

    def __call__(self, data: Any) -> Any:
        """What the library calls."""
        pieces = data if isinstance(data, (list, tuple)) else list(data)  # may be an iterator
        with guard:
            self._look(None)
        try:
            result = self._call(pieces)
        finally:
            with guard:
                self._ends()
        with guard:
            self._look(b"".join(pieces))
        return result
