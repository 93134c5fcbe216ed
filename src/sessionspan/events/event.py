"""What an event is: a small frozen value, whose fields say their attribute key and their privacy class."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias, TypeVar

from opentelemetry._logs import SeverityNumber

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform

Value: TypeAlias = str | bool | int | float | tuple[str, ...]


class Privacy(Enum):
    """What a field may hold, and so where it may go. `sessionspan.redaction` has the rule for each."""

    PLAIN = "plain"  # names, codes, sizes, durations
    IDENTITY = "identity"  # who: the accepted user
    ADDRESS = "address"  # envelope: a mail address or a name somebody typed; on spans its domain only
    HOST = "host"  # envelope: a host name that the peer gave itself
    REMARK = "remark"  # envelope: text that may quote an address; never on spans
    COMMAND = "command"  # content: the text of a command
    ENVELOPE_COMMAND = "envelope command"  # content, of a command that carries an envelope
    CONTENT = "content"  # content: what people or machines wrote or answered
    ENVELOPE_CONTENT = "envelope content"  # content that carries an envelope


class Attribute(NamedTuple):
    """How one field goes on the wire; ``key`` is None for a field that is itself a map of attributes."""

    field: str
    key: str | None
    privacy: Privacy
    is_text: bool  # or texts, or a map of attributes; else a number or a truth value


def attribute(key: str | None, privacy: Privacy = Privacy.PLAIN, default: Any = None) -> Any:
    """A field of an event, exported under *key*."""
    return dataclasses.field(default=default, metadata={"key": key, "privacy": privacy})


def made_attribute(key: str, make: Callable[[], Any]) -> Any:
    """A field that the event fills in itself, by *make*."""
    return dataclasses.field(default_factory=make, metadata={"key": key, "privacy": Privacy.PLAIN})


class SeedNames(NamedTuple):
    """What the systems that users come from call an event (docs/migration), in the order in which they tell it.

    `sessionspan.projection` has the names of which not all hold for every event of a class.
    """

    rusmes: tuple[str, ...] = ()
    rustbucket: tuple[str, ...] = ()
    netmiko: tuple[str, ...] = ()
    popstore: tuple[str, ...] = ()
    kumomta: tuple[str, ...] = ()


_T = TypeVar("_T", bound=type)

if TYPE_CHECKING:

    @dataclass_transform(frozen_default=True, kw_only_default=True)
    def event(kind: _T) -> _T:
        """Values that type checkers hold to be frozen."""

else:
    # At run time nothing holds them to it: that would double what it costs to make one.
    event = dataclass(kw_only=True, slots=True, unsafe_hash=True)


@event
class Event:
    """Something that happened in a session. Subclasses are the catalogue."""

    name: ClassVar[str]
    severity: ClassVar[SeverityNumber] = SeverityNumber.INFO
    # Vital events (session, auth, mail) have a quota of their own: a flood of commands cannot push them out.
    vital: ClassVar[bool] = True
    # What a peer can cause without being let in has a quota apart, so that it cannot hide what it got in the end.
    refusal: ClassVar[bool] = False
    # Recorded even when the span is not sampled, by SESSIONSPAN_UNSAMPLED=audit.
    audit: ClassVar[bool] = True
    # The attributes that make the display line, in order.
    shown: ClassVar[tuple[str, ...]] = ()
    # Whether it goes on the span, too; what says only that the span goes on does not.
    spanned: ClassVar[bool] = True
    seed_names: ClassVar[SeedNames] = SeedNames()


_attributes: dict[type[Event], tuple[Attribute, ...]] = {}


def attributes_of(event: type[Event]) -> tuple[Attribute, ...]:
    """The exported fields of *event*, in the order of their definition."""
    found = _attributes.get(event)
    if found is None:
        found = _attributes[event] = tuple(
            Attribute(field.name, field.metadata["key"], field.metadata["privacy"], "str" in str(field.type))
            for field in dataclasses.fields(event)
            if field.metadata
        )
    return found
