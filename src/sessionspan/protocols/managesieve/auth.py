"""AUTHENTICATE (RFC 5804 2.1) as events: who was accepted, and why somebody was not."""

from __future__ import annotations

from typing import Final

from sessionspan.events import AuthFailure, AuthSuccess
from sessionspan.protocols.managesieve.commands import Pending
from sessionspan.protocols.managesieve.replies import Reply
from sessionspan.protocols.sasl import Names

# RFC 5804 1.3
_BY_CODE: Final = {
    "AUTH-TOO-WEAK": "not_authorized",
    "ENCRYPT-NEEDED": "encryption_required",
    "TRANSITION-NEEDED": "expired",
    "TRYLATER": "temporary",
}


def succeeded(command: Pending) -> AuthSuccess:
    """The login was accepted."""
    names = _names(command)
    return AuthSuccess(identity=names.acts_as, mechanism=command.mechanism, user_name=names.user)


def failed(command: Pending, reply: Reply) -> AuthFailure:
    """The login was refused with *reply*."""
    return AuthFailure(
        mechanism=command.mechanism, user_name=_names(command).user, error_type=_error(command, reply)
    )


def _names(command: Pending) -> Names:
    return command.exchange.names if command.exchange is not None else Names()


def _error(command: Pending, reply: Reply) -> str:
    if command.cancelled:
        return "cancelled"
    if reply.code in _BY_CODE:
        return _BY_CODE[reply.code]
    if reply.status != "no":
        return "_OTHER"  # BYE, which may have a reason of its own
    return "invalid_credentials" if command.challenged else "mechanism_unknown"
