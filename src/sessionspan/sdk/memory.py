"""An open span of the SDK in less memory: a server keeps one for each idle connection.

The span's own containers are replaced by others of their kind, which take what they have not got yet once they
need it. Who reads the span, or writes to it, finds what he always finds.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import ItemsView, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event
from opentelemetry.sdk.util import BoundedList

if TYPE_CHECKING:
    from sessionspan.events import Value

_FEW: Final = 128  # the SDK's default limit; where there may be more, adding one to a tuple costs too much


def lighten(span: Any) -> None:
    """Let *span*, which has just started, have smaller lists, unless somebody has added to them."""
    for name, kind in (("_events", Events), ("_links", Few)):
        limit = _limit_of(getattr(span, name))
        if limit is not None and limit <= _FEW:
            setattr(span, name, kind(limit))


def _limit_of(made: Any) -> int | None:
    """How many items *made* may have, if it is a list of the SDK's own kind with nothing in it."""
    is_theirs = type(made) is BoundedList
    limit: int | None = made._dq.maxlen if is_theirs and not made else None
    return limit


def lend(span: Any, attributes: dict[str, Value]) -> None:
    """Let *span*, which nobody has looked at yet, have its *attributes* in this dictionary."""
    span._attributes = Lent(attributes, span._attributes.maxlen)


class Lent(BoundedAttributes):
    """The attributes of a span, in the dictionary of what its session knows, until somebody else sets one here.

    A second dictionary of the same would be half a kilobyte. The span holds its lock while anybody changes them.
    """

    _has_its_own = False

    def __init__(self, lent: dict[str, Value], maxlen: int | None) -> None:
        self._dict = lent  # type: ignore[assignment]  # all other fields: see `_leave_the_rest_to_the_class`
        self.maxlen = maxlen

    def _have_its_own(self) -> None:
        if not self._has_its_own:
            self._lock = BoundedAttributes()._lock
            self._dict = self._dict.copy()
            self._has_its_own = True

    def __setitem__(self, key: str, value: Any) -> None:
        self._have_its_own()
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self._have_its_own()
        super().__delitem__(key)

    def _set_items(self, attributes: Mapping[str, Any]) -> None:
        self._have_its_own()
        super()._set_items(attributes)

    # The session may learn something while somebody reads.

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._dict))

    def items(self) -> ItemsView[str, Any]:
        """What they are now."""
        return self._dict.copy().items()


def _leave_the_rest_to_the_class() -> None:
    """What attributes have besides in this version of the SDK, they have on the class while they are lent."""
    for name, value in vars(BoundedAttributes(immutable=False)).items():
        if name not in ("_dict", "_lock", "maxlen"):
            setattr(Lent, name, value)
    # None is needed to read them, and one for all spans would let them wait for each other.
    Lent._lock = contextlib.nullcontext()  # type: ignore[assignment]


_leave_the_rest_to_the_class()


class Few(BoundedList[Any]):
    """A list of events or links as a tuple: the SDK's deque is 760 bytes, used or not.

    The span holds its lock while it adds something, and who reads has a tuple that does not change.
    """

    dropped = 0

    def __init__(self, maxlen: int | None) -> None:
        self._items: tuple[Any, ...] = ()
        self._maxlen = maxlen

    def _read(self) -> tuple[Any, ...]:
        """The items, for whoever reads them."""
        return self._items

    def __deepcopy__(self, memo: dict[int, Any]) -> BoundedList[Any]:
        copied = BoundedList[Any].from_seq(self._maxlen, copy.deepcopy(self._read(), memo))
        copied.dropped = self.dropped
        return copied

    def __repr__(self) -> str:
        return f"BoundedList({[*self._read()]}, maxlen={self._maxlen})"

    def __getitem__(self, index: Any) -> Any:
        return self._read()[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._read())

    def append(self, item: Any) -> None:
        """Add *item*; without room for it the oldest one goes."""
        self.extend((item,))

    def extend(self, seq: Sequence[Any]) -> None:
        """Add the items of *seq*; without room for them the oldest ones go."""
        items = (*self._items, *seq)
        if self._maxlen is not None and len(items) > self._maxlen:
            self.dropped += len(items) - self._maxlen
            items = items[len(items) - self._maxlen :]
        self._items = items


class Events(Few):
    """The events of an open span; one that `add` has taken is a plain tuple until somebody reads it.

    The SDK's own has a dictionary for itself and one for its attributes, 0.2 kB each. Who reads an event, and
    changes it maybe, finds the same one again.
    """

    def __init__(self, maxlen: int | None) -> None:
        # Events, and for one that nobody has read: timestamp, (name, keys of the attributes), and their values.
        self._kept: list[Any] = []
        self._maxlen = maxlen

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, name: str, attributes: dict[str, Value], timestamp: int) -> None:
        """Add an event that nobody has read yet."""
        self.extend(((timestamp, _shape(name, tuple(attributes)), *attributes.values()),))

    def extend(self, seq: Sequence[Any]) -> None:
        """Add the items of *seq*; without room for them the oldest ones go."""
        if self._maxlen is None or len(self._kept) + len(seq) <= self._maxlen:
            self._kept.extend(seq)
        else:
            # Another list: a reader may be about to put the event that it has read into its place in this one.
            kept = [*self._read(), *seq]
            self.dropped += len(kept) - self._maxlen
            self._kept = kept[len(kept) - self._maxlen :]

    def _read(self) -> tuple[Any, ...]:
        kept = self._kept
        found = []
        for place, unread in enumerate(kept):
            if type(unread) is tuple:
                name, keys = unread[1]
                event = Event(name, dict(zip(keys, unread[2:], strict=False)), unread[0])
                if kept[place] is unread:  # no call is between this and the next line, and so no other reader
                    kept[place] = event
            found.append(kept[place])
        return tuple(found)


@functools.lru_cache(maxsize=1024)
def _shape(name: str, keys: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """An event's name and the keys of its attributes: all events that have the same share one."""
    return name, keys
