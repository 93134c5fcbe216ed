"""LOGIN and AUTHENTICATE as events: who was accepted, and why somebody was not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sessionspan.events import AuthFailure, AuthSuccess
from sessionspan.protocols.imap.commands import Pending
from sessionspan.protocols.imap.replies import Reply
from sessionspan.protocols.sasl import Names

COMMANDS: Final = frozenset(("LOGIN", "AUTHENTICATE"))

# RFC 5530 3
_BY_CODE: Final = {
    "AUTHENTICATIONFAILED": "invalid_credentials",
    "AUTHORIZATIONFAILED": "not_authorized",
    "CLIENTBUG": "malformed",
    "CONTACTADMIN": "disabled",
    "EXPIRED": "expired",
    "INUSE": "temporary",
    "LIMIT": "rate_limited",
    "NOPERM": "not_authorized",
    "PRIVACYREQUIRED": "encryption_required",
    "SERVERBUG": "temporary",
    "UNAVAILABLE": "temporary",
}
# RFC 9051 6.2.2, 6.2.3: what NO and BAD say without a code
_BY_STATUS: Final = {"no": "invalid_credentials", "bad": "malformed"}


def succeeded(command: Pending, who: Callable[[], str | None] | None) -> AuthSuccess:
    """The login was accepted, of whom the server or, when it does not say, the exchange says."""
    names = _names(command)
    # The library first: not every server looks at the authorization identity that a client asks for.
    identity = (who() if who is not None else None) or names.acts_as
    return AuthSuccess(identity=identity, mechanism=command.mechanism, user_name=names.user)


def failed(command: Pending, reply: Reply) -> AuthFailure:
    """The login was refused with *reply*, or never answered."""
    user = _names(command).user
    return AuthFailure(mechanism=command.mechanism, user_name=user, error_type=_error(command, reply))


def _names(command: Pending) -> Names:
    if command.login is not None:
        return Names(command.login.user, command.login.user)
    return command.exchange.names if command.exchange is not None else Names()


def _error(command: Pending, reply: Reply) -> str:
    if command.cancelled:
        return "cancelled"
    if reply.code in _BY_CODE:
        return _BY_CODE[reply.code]
    if command.mechanism is not None and not command.challenged and reply.status in _BY_STATUS:
        return "mechanism_unknown"  # refused before the exchange began
    return _BY_STATUS.get(reply.status, "_OTHER")
