"""What really made a connection or a command fail: below the exception of the library stands the one that tells.

netmiko says "A paramiko SSHException occurred during connection creation" of everything, and has what it caught as
the context.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

from sessionspan.ending import type_name

_DEPTH: Final = 10
_MESSAGE: Final = 300  # characters


class Cause(NamedTuple):
    """Why something failed: the exception's class for ``error.type``, its text, whether a login was refused."""

    type: str
    message: str
    of_login: bool
    of_connection: bool


def handled() -> BaseException | None:
    """What is being handled now: it is the context of what is raised next, and no cause of it."""
    return sys.exc_info()[1]


def cause_of(error: BaseException, library: str, before: BaseException | None = None) -> Cause:
    """The cause of *error*, which *library* raised; *before* was being handled when it was called."""
    chain = list(_chain(error, before))
    # The first that is not the library's own words; it may stand for several attempts, by address (paramiko).
    first = next((each for each in chain if not _is_of(each, library)), error)
    attempts = getattr(first, "errors", None)
    if isinstance(attempts, dict) and attempts:
        first = next(iter(attempts.values()))
    system = next((each for each in (first, *reversed(chain)) if isinstance(each, (OSError, EOFError))), None)
    return Cause(
        type_name(system or first),
        _text(first) or _text(error),
        any(kind.__name__ == "AuthenticationException" for each in chain for kind in type(each).__mro__),
        system is not None,
    )


def _chain(error: BaseException, before: BaseException | None) -> Iterator[BaseException]:
    found: BaseException | None = error
    for _ in range(_DEPTH):
        if found is None or found is before:
            return
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def _is_of(error: BaseException, library: str) -> bool:
    module = type(error).__module__
    return module == library or module.startswith(f"{library}.")


def _text(error: BaseException) -> str:
    """The first line of an exception's text that says something."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), "")[:_MESSAGE]
