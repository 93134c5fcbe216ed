"""How a session ended: the causes, which of several wins, the outcome that follows, what an error is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sessionspan.tally import Tally

# From the least to the most specific: of several causes that were seen the last one here wins. A client
# that says QUIT and then resets the connection has quit; a timeout that closes the connection is a timeout.
END_REASONS: Final = (
    "_OTHER",
    "garbage_collected",
    "process_exit",
    "shutdown",
    "local_close",
    "peer_close",
    "peer_eof",
    "peer_reset",
    "idle",
    "timeout",
    "quit",
    "limit",
    "auth_failed",
    "protocol_error",
    "tls_failed",
    "proxy_invalid",
    "connect_failed",
    "handler_error",
    "reconnected",
    "recovered",
)
_RANK: Final = {reason: rank for rank, reason in enumerate(END_REASONS)}

# The peer went away, as against: it said goodbye, or we ended it.
_PEER_LEFT: Final = frozenset(("peer_eof", "peer_reset", "timeout", "idle"))

OUTCOMES: Final = ("error", "auth_failed", "rejected", "aborted", "ok")


def more_specific(first: str | None, second: str) -> str:
    """The one of two end reasons that says more; an unknown one counts as ``_OTHER``."""
    if second not in _RANK:
        second = "_OTHER"
    return second if first is None or _RANK[second] > _RANK[first] else first


def outcome(tally: Tally, error: bool, unfinished: bool, end_reason: str) -> str:
    """The outcome of a session: the first of `OUTCOMES` that holds."""
    if error:
        return "error"
    if tally.auth_failures and not tally.auth_successes:
        return "auth_failed"
    if tally.rejected and not tally.accepted:
        return "rejected"
    if unfinished and end_reason in _PEER_LEFT:
        return "aborted"
    return "ok"


def type_name(error: BaseException) -> str:
    """The low-cardinality name of an exception for ``error.type``: its class, with its module."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
