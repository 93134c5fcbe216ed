"""The scope of the sessions that people open in their own code, set up when the first one opens."""

from __future__ import annotations

from typing import Final

from sessionspan import exported_logs, forks, stamping
from sessionspan.guard import guard
from sessionspan.scope import Scope
from sessionspan.settings import settings

SCOPE: Final = Scope("sessionspan")


def scope() -> Scope:
    """The scope, ready for sessions."""
    if not SCOPE.bound:
        _set_up()
    return SCOPE


@guard
def _set_up() -> None:
    """What `SessionInstrumentor` does for a library."""
    settings()
    forks.install()
    stamping.install()
    exported_logs.install()
    SCOPE.bind()
