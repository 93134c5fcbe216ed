"""Conversation: what one process and one device say to each other, from before the connection to its end.

An instrumentation tells when a connection opens and closes, what is sent and received, and where a step begins and
ends. Here it is decided what of that is an event, and what may be told: nothing that answers a device's question.
"""

from __future__ import annotations

import re
import threading
from typing import Any, Final

from opentelemetry.context import Context, get_current

from sessionspan.addresses import Address
from sessionspan.devices import SSH_METHODS
from sessionspan.devices.causes import Cause, cause_of, handled
from sessionspan.devices.dialog import at_prompt, is_answer, visible_line
from sessionspan.devices.secrets import Secrets
from sessionspan.devices.steps import PROMPT, Kind, Step, size_of
from sessionspan.events import (
    AuthFailure,
    AuthSuccess,
    DeviceCommandFailure,
    DeviceCommandSent,
    DeviceDialog,
    DeviceRedispatch,
)
from sessionspan.session import Session

CLOSED: Final = "connection_closed"
_LINE: Final = 512  # characters of the line on which the device waits
_PROMPT_END: Final = re.compile(r"[ ]?[#>$%\]]+$")


class Conversation:
    """One session with one device. Several threads may use it, each with a step of its own."""

    __slots__ = (
        "__weakref__",
        "_closing",
        "_found_prompt",
        "_library",
        "_line",
        "_lost",
        "_opening",
        "_secrets",
        "_sequence",
        "_started_before",
        "_steps",
        "_user_typed",
        "prompt",
        "session",
        "user",
        "wants_answers",
        "wants_text",
    )

    def __init__(self, session: Session, library: str, user: str, secrets: tuple[object, ...]) -> None:
        self.session = session
        self.user = user
        self.prompt = ""  # what the device's prompt begins with, as far as it is known
        self.wants_text = session.capture_level in ("commands", "content")
        self.wants_answers = session.capture_level == "content"
        self._library = library
        self._secrets = Secrets([each for each in secrets if isinstance(each, str)])
        self._started_before = handled()
        self._steps: dict[int, Step] = {}
        self._sequence = 0
        self._line = ""
        self._found_prompt = ""
        self._opening = 0
        self._closing = False
        self._lost = False
        self._user_typed = False

    @property
    def opening(self) -> bool:
        """Whether it is being opened."""
        return self._opening > 0

    def enter(self) -> Context:
        """The caller's context, in the session."""
        return self.session.over(get_current())

    def redact(self, text: str) -> str:
        """*text* without secrets."""
        return self._secrets.redact(text)

    # Its life.

    def opens(self) -> None:
        """It is being opened, or a part of that begins; each call wants an `opened`."""
        self._opening += 1

    def opened(self, raised: BaseException | None, *, ready: bool = True) -> None:
        """What `opens` has begun is over; unless *ready*, it was a part that leaves nobody any wiser."""
        self._opening -= 1
        if self._opening:
            return
        before, self._started_before = self._started_before, None  # it holds frames of the application
        if raised is not None:
            self._failed_to_open(raised, before)
        elif ready:
            self.session.established()

    def connected(self, peer: Address, local: Address, method: str) -> None:
        """The connection is there and the login, by *method*, was accepted."""
        self.session.connected(peer, local)
        # Over Telnet and serial lines a name was given only if it was asked for.
        if self.user and (method or self._user_typed):
            mechanism = None if not method else method if method in SSH_METHODS else "_OTHER"
            self.session.record(AuthSuccess(identity=self.user, mechanism=mechanism, user_name=self.user))

    def closes(self) -> None:
        """The library is closing it: what it sends for that is no command."""
        self._closing = True

    def closed(self) -> None:
        """It is closed; while it is being opened the error that is the reason comes afterwards."""
        if not self._opening:
            self.session.end("quit")

    def left(self, error: BaseException) -> None:
        """*error* leaves the block that uses it."""
        self.session.cause("handler_error")
        if isinstance(error, Exception):
            self.session.failed(error)

    def is_a(self, device: str) -> None:
        """The device is of type *device*, now at least."""
        if device != self.session.device:
            self.session.set_device(device)
            self.session.record(DeviceRedispatch())

    def _failed_to_open(self, raised: BaseException, before: BaseException | None) -> None:
        if isinstance(raised, Exception):
            cause = self._cause(raised, before)
            message = self.redact(cause.message)
            if cause.of_login:
                self.session.record(AuthFailure(user_name=self.user, error_type="invalid_credentials"))
            self.session.broke("auth_failed" if cause.of_login else "connect_failed", cause.type, message)
        self.session.end("local_close")

    def _cause(self, raised: BaseException, before: BaseException | None) -> Cause:
        return cause_of(raised, self._library, before)

    # Its steps.

    def begin(self, kind: Kind, **detail: Any) -> Step | None:
        """A step of *kind* begins in this thread. None when there is nothing to tell of it."""
        thread = threading.get_ident()
        step = self._steps.get(thread)
        if step is not None:
            step.enters(kind)
            return step
        if kind is PROMPT or self._opening or self._closing or not self.session.listened_to:
            return None
        step = self._steps[thread] = Step(self, kind, handled(), **detail)
        return step

    def end(self, step: Step, raised: BaseException | None, *, alive: bool) -> None:
        """*step* is over; *alive* is whether the connection is still there."""
        if step.nested:
            step.leaves()
            return
        self._steps.pop(threading.get_ident(), None)
        if raised is not None:
            self._failed(step, raised, alive)
        elif step.kind.done is not None and step.worth_telling and not (step.told or step.dialog):
            self._number(step)
            self.session.record(step.kind.done(step))

    def _failed(self, step: Step, raised: BaseException, alive: bool) -> None:
        cause = self._cause(raised, step.before)
        if not alive and cause.of_connection:
            self._lose(cause.type)
        if not step.told:
            self._tell_failure(step, cause.type, self.redact(cause.message))

    def _tell_failure(self, step: Step, error_type: str, message: str | None) -> None:
        step.told = True
        self._number(step)
        mark, text = step.command() if not step.dialog else (None, None)
        self.session.record(
            DeviceCommandFailure(
                command=step.kind.name,
                sequence=step.sequence,
                fingerprint=mark,
                text=text.text if text else None,
                error_type=error_type,
                message=message,
                **step.answer(),
                **step.times(),
            )
        )

    def _number(self, step: Step) -> None:
        if not step.sequence:
            self._sequence += 1
            step.sequence = self._sequence

    # What is said.

    def sent(self, text: str) -> None:
        """*text* was sent to the device."""
        self.session.count_bytes(from_client=size_of(text))
        if self._closing:
            return
        if self._opening:
            self._user_typed = self._user_typed or text.strip() == self.user
            return
        step = self._steps.get(threading.get_ident())
        if step is None:
            if text.strip("\r\n\0 ") and not self._at_prompt():  # typed by the application itself
                self._tell_dialog(text)
        elif step.own:
            self._sent_in(step, text)

    def _sent_in(self, step: Step, text: str) -> None:
        first = not step.sent
        command = step.kind.fixed or self._at_prompt()
        step.typed(text, command or not is_answer(self._line, None, text))
        if step.kind.text != "first" or not first or not step.worth_telling:
            return
        if not command:
            step.dialog = True
            self._tell_dialog(text, step)
            return
        self._number(step)
        mark, shown = step.command()
        self.session.record(
            DeviceCommandSent(
                command=step.kind.name,
                sequence=step.sequence,
                fingerprint=mark,
                text=shown.text,
                size=shown.size,
                truncated=shown.truncated,
            )
        )

    def _tell_dialog(self, text: str, step: Step | None = None) -> None:
        self._sequence += 1
        if step is not None:
            step.sequence = self._sequence
        self.session.record(DeviceDialog(sequence=self._sequence, input_size=size_of(text.strip("\r\n"))))

    def received(self, text: str, *, alive: bool) -> None:
        """*text* came from the device; nothing may have, and then *alive* is whether something still can."""
        step = self._steps.get(threading.get_ident())
        if text:
            self.session.count_bytes(from_server=size_of(text))
            self._line = (self._line + text)[-_LINE:].rpartition("\n")[2]
            if step is not None and PROMPT not in step.nested:
                step.heard(text)
        elif not alive and step is not None and step.sent and not step.told and not self._closing:
            # The library may go on waiting for its whole time-out: netmiko #2911.
            self._lose(CLOSED)
            self._tell_failure(step, CLOSED, None)

    def _lose(self, error_type: str) -> None:
        if not self._lost:
            self._lost = True
            self.session.broke("peer_eof", error_type)

    def _at_prompt(self) -> bool:
        """Whether what is sent now is a command: the device waits at its prompt, and not for an answer."""
        line = visible_line(self._line)
        return at_prompt(line, self.prompt) or at_prompt(line, self._found_prompt)

    def found_prompt(self, prompt: str) -> None:
        """The library takes *prompt* for the device's prompt. A question that waits for a password is none."""
        name = _PROMPT_END.sub("", prompt)
        if name != prompt and at_prompt(prompt, name):
            self._found_prompt = name
