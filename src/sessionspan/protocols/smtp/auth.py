"""AUTH (RFC 4954) as events: who was accepted, and why somebody was not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sessionspan.events import AuthFailure, AuthSuccess
from sessionspan.protocols.sasl import Names, mechanism_name
from sessionspan.protocols.smtp.commands import Pending
from sessionspan.protocols.smtp.replies import Reply

# The enhanced status says it best (RFC 4954 6), else the code.
_BY_STATUS: Final = {
    "4.7.0": "temporary",
    "4.7.12": "expired",
    "5.7.8": "invalid_credentials",
    "5.7.9": "not_authorized",
    "5.7.11": "encryption_required",
    "5.7.12": "expired",
    "5.7.13": "disabled",
}
_BY_CODE: Final = {
    421: "temporary",
    432: "expired",
    450: "rate_limited",
    451: "temporary",
    454: "temporary",
    500: "disabled",
    501: "malformed",
    502: "disabled",
    503: "malformed",
    504: "mechanism_unknown",
    525: "disabled",
    530: "encryption_required",
    534: "not_authorized",
    535: "invalid_credentials",
    538: "encryption_required",
    550: "not_authorized",
}


def succeeded(command: Pending, who: Callable[[], str | None] | None) -> AuthSuccess:
    """The login was accepted, of whom the server or, when it does not say, the exchange says."""
    names = _names(command)
    # The library first: not every server looks at the authorization identity that a client asks for.
    identity = (who() if who is not None else None) or names.acts_as
    return AuthSuccess(identity=identity, mechanism=mechanism_name(command.argument), user_name=names.user)


def failed(command: Pending, reply: Reply) -> AuthFailure:
    """The login was refused with *reply*, or never answered."""
    return AuthFailure(
        mechanism=mechanism_name(command.argument),
        user_name=_names(command).user,
        error_type=_error(command, reply),
    )


def _names(command: Pending) -> Names:
    return command.exchange.names if command.exchange is not None else Names()


def _error(command: Pending, reply: Reply) -> str:
    if command.cancelled:
        return "cancelled"
    return _BY_STATUS.get(reply.enhanced or "") or _BY_CODE.get(reply.code or 0, "_OTHER")
