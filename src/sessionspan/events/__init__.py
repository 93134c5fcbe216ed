"""The catalogue: one small frozen value per event that a session can have.

A field says its attribute key and its privacy class; it never says how it is exported. Observers make
these values, `Session.record` alone speaks them. Docs tables and tests are generated from these pages.
"""

from __future__ import annotations

from typing import Final

from sessionspan.events import auth, device, dialogue, mail, operation, session, store
from sessionspan.events.auth import AuthEnd, AuthFailure, AuthSuccess
from sessionspan.events.device import (
    DeviceCommandFailure,
    DeviceCommandResponse,
    DeviceCommandSent,
    DeviceConfigCommit,
    DeviceConfigEnable,
    DeviceConfigSave,
    DeviceConfigSet,
    DeviceDialog,
    DeviceFileTransfer,
    DeviceRedispatch,
)
from sessionspan.events.dialogue import Command, IdleEnd, IdleStart, Interaction
from sessionspan.events.event import Event, Privacy, SeedNames, Value, attributes_of
from sessionspan.events.mail import MailReception, MailRejection
from sessionspan.events.operation import OperationFailure, OperationPlanned, OperationStart, OperationSuccess
from sessionspan.events.session import (
    SessionEnd,
    SessionEstablished,
    SessionException,
    SessionHeartbeat,
    SessionStart,
    TLSEstablished,
    TLSFailure,
)
from sessionspan.events.store import (
    StoreMessageDelete,
    StoreMessageOpen,
    StoreMessageStore,
    StoreUserCreate,
    StoreUserDelete,
    StoreUserModify,
)

__all__ = [
    "AuthEnd",
    "AuthFailure",
    "AuthSuccess",
    "Command",
    "DeviceCommandFailure",
    "DeviceCommandResponse",
    "DeviceCommandSent",
    "DeviceConfigCommit",
    "DeviceConfigEnable",
    "DeviceConfigSave",
    "DeviceConfigSet",
    "DeviceDialog",
    "DeviceFileTransfer",
    "DeviceRedispatch",
    "Event",
    "IdleEnd",
    "IdleStart",
    "Interaction",
    "MailReception",
    "MailRejection",
    "OperationFailure",
    "OperationPlanned",
    "OperationStart",
    "OperationSuccess",
    "Privacy",
    "SeedNames",
    "SessionEnd",
    "SessionEstablished",
    "SessionException",
    "SessionHeartbeat",
    "SessionStart",
    "StoreMessageDelete",
    "StoreMessageOpen",
    "StoreMessageStore",
    "StoreUserCreate",
    "StoreUserDelete",
    "StoreUserModify",
    "TLSEstablished",
    "TLSFailure",
    "Value",
    "attributes_of",
    "catalogue",
]

_PAGES: Final = (session, auth, dialogue, device, operation, mail, store)


def catalogue() -> list[type[Event]]:
    """All events, in the order of the pages."""
    return [
        found
        for page in _PAGES
        for name, found in vars(page).items()
        if isinstance(found, type) and found.__module__ == page.__name__ and not name.startswith("_")
    ]
