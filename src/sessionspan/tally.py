"""What a session has counted so far, and the quota of events that it may still record."""

from __future__ import annotations

from typing import Final

from sessionspan import names
from sessionspan.events import (
    AuthFailure,
    AuthSuccess,
    Command,
    DeviceCommandFailure,
    DeviceCommandResponse,
    DeviceConfigCommit,
    DeviceConfigEnable,
    DeviceConfigSave,
    DeviceConfigSet,
    DeviceFileTransfer,
    Event,
    MailReception,
    MailRejection,
    SessionEnd,
    SessionHeartbeat,
    Value,
)

# Session, auth and mail events have this many of their own, whatever SESSIONSPAN_MAX_EVENTS says: the
# refusals among them, and the others.
VITAL_EVENTS: Final = 10_000
# These are ours to tell, not a peer's to cause: they need no quota.
_UNLIMITED: Final = frozenset((SessionEnd, SessionHeartbeat))
# What a device was told to do, done or failed: one of these for each.
DEVICE_COMMANDS: Final = (
    DeviceCommandResponse,
    DeviceCommandFailure,
    DeviceConfigSet,
    DeviceConfigCommit,
    DeviceConfigSave,
    DeviceConfigEnable,
    DeviceFileTransfer,
)
_USERS: Final = 100  # distinct users that are told apart
_FAILED: Final = frozenset(("4xx", "5xx", "no", "bad", "bye", "err"))


class Tally:
    """The counts of one session."""

    __slots__ = (
        "_code",
        "_enhanced",
        "_ordinary_left",
        "_refusals",
        "_users",
        "_vital",
        "accepted",
        "auth_failures",
        "auth_successes",
        "commands",
        "dropped",
        "events",
        "failed_commands",
        "received",
        "rejected",
        "sent",
    )

    def __init__(self, max_events: int) -> None:
        self._ordinary_left = max_events
        self._vital = self._refusals = 0  # that were admitted
        self._users: set[str | None] | None = None  # most sessions have none
        self.commands = self.failed_commands = 0
        self.auth_failures = self.auth_successes = 0
        self.received = self.sent = 0  # bytes of plaintext
        self.accepted = self.rejected = 0
        self.events = self.dropped = 0
        self._code: int | None = None  # of the last reply
        self._enhanced: str | None = None

    @property
    def last_reply(self) -> tuple[int | None, str | None]:
        """Code and enhanced status of the last reply."""
        return self._code, self._enhanced

    def count(self, event: Event) -> None:
        """Take *event* into the counts, recorded or not."""
        kind = type(event)
        if kind is Command:
            assert isinstance(event, Command)
            self.commands += 1
            # A BYE to LOGOUT is what was asked for.
            failed = event.reply_status in _FAILED and (event.reply_status, event.command) != ("bye", "LOGOUT")
            self.failed_commands += failed
            self._code, self._enhanced = event.reply_code, event.reply_enhanced_status
        elif kind is MailReception:
            self.accepted += 1
        elif kind is MailRejection:
            self.rejected += 1
        elif kind is AuthSuccess:
            assert isinstance(event, AuthSuccess)
            self.auth_successes += 1
            self._users = self._users if self._users is not None else set()
            if len(self._users) < _USERS:
                self._users.add(event.identity)
        elif kind is AuthFailure:
            self.auth_failures += 1
        elif kind in DEVICE_COMMANDS:
            self.commands += 1
            self.failed_commands += kind is DeviceCommandFailure

    def admits(self, event: Event) -> bool:
        """Whether the session may record *event*; if not it is counted as dropped."""
        if type(event) in _UNLIMITED:
            self.events += 1
            return True
        if event.refusal:
            if self._refusals < VITAL_EVENTS:
                self._refusals += 1
                self.events += 1
                return True
        elif event.vital:
            if self._vital < VITAL_EVENTS:
                self._vital += 1
                self.events += 1
                return True
        elif self._ordinary_left > 0:
            self._ordinary_left -= 1
            self.events += 1
            return True
        self.dropped += 1
        return False

    def attributes(self) -> dict[str, Value]:
        """The counts, by attribute key."""
        return {
            names.COMMAND_COUNT: self.commands,
            names.COMMAND_FAILED_COUNT: self.failed_commands,
            names.AUTH_ATTEMPT_COUNT: self.auth_failures + self.auth_successes,
            names.AUTH_USER_COUNT: len(self._users) if self._users is not None else 0,
            names.RECEIVED_SIZE: self.received,
            names.SENT_SIZE: self.sent,
            names.MAIL_ACCEPTED_COUNT: self.accepted,
            names.MAIL_REJECTED_COUNT: self.rejected,
            names.EVENT_COUNT: self.events,
            names.EVENT_DROPPED_COUNT: self.dropped,
        }
