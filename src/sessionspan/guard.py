"""Our own failures stop here: counted, logged once each, never raised into the application.

Under test (``SESSIONSPAN_RAISE=on``) they raise, so that a bug of ours fails a test and never a user.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from sessionspan.settings import settings

_log = logging.getLogger("sessionspan")

P = ParamSpec("P")
T = TypeVar("T")


class Guard:
    """A context manager and a decorator around our own code; ``failures`` counts what it stopped."""

    def __init__(self) -> None:
        self.failures = 0
        self._told: set[tuple[str, int]] = set()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        # KeyboardInterrupt, SystemExit and CancelledError are the application's, not failures of ours.
        if not isinstance(error, Exception):
            return False
        self.failed(error)
        return True

    def __call__(self, function: Callable[P, T]) -> Callable[P, T | None]:
        """Decorate *function*: when it raises, the failure is told here and None is returned."""

        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T | None:
            try:
                return function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the one place that may
                self.failed(error)
                return None

        return guarded

    def failed(self, error: Exception) -> None:
        """Count *error* and log it the first time that its line of code fails."""
        self.failures += 1
        if settings().raises:
            raise error
        place = place_of(error)
        if place not in self._told and len(self._told) < 100:
            self._told.add(place)
            # Type and place only: the text of an exception may hold what the peer sent.
            _log.warning(
                "sessionspan failed inside (%s at %s:%d) and went on; the application is not touched. "
                "Please report it. Further failures at this line are counted, not logged.",
                type(error).__name__,
                *place,
            )


def place_of(error: BaseException) -> tuple[str, int]:
    """The file and line that raised *error*."""
    trace = error.__traceback__
    if trace is None:
        return ("?", 0)
    while trace.tb_next is not None:
        trace = trace.tb_next
    return (trace.tb_frame.f_code.co_filename, trace.tb_lineno)


guard = Guard()
