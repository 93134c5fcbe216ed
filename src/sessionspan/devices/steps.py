"""What is done with a device, one step at a time: which steps there are, and what each says when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.context import Context

from sessionspan.devices.fingerprints import fingerprint
from sessionspan.devices.text import Cut, cut
from sessionspan.events import (
    DeviceCommandResponse,
    DeviceConfigCommit,
    DeviceConfigEnable,
    DeviceConfigSave,
    DeviceConfigSet,
    DeviceFileTransfer,
    Event,
)

if TYPE_CHECKING:
    from sessionspan.devices.conversation import Conversation

TEXT: Final = 4096  # bytes of a command or a response, its head and its tail
_ECHO: Final = 65536  # characters of answers in which a line of configuration is looked for


class Kind(NamedTuple):
    """One kind of step: its ``sessionspan.command.name``, and the event that says that it was done."""

    name: str
    done: Callable[[Step], Event] | None
    # What of the writes is its text: the first one, each line, or nothing.
    text: str = "none"
    # Nothing is told of it unless something was typed: netmiko asks whether it has to by empty lines.
    needs_text: bool = False
    # Its text is the library's own: it answers no question, whatever the device waits for.
    fixed: bool = False


class Step:
    """One thing that a thread does with a device: what was typed, what came back, how long it took."""

    __slots__ = (
        "_answer",
        "_answer_size",
        "_command",
        "_echo",
        "_foreign_since",
        "_lines",
        "_prompt",
        "_sent_at",
        "_started",
        "_typed",
        "_unseen",
        "before",
        "conversation",
        "detail",
        "dialog",
        "kind",
        "nested",
        "sequence",
        "told",
    )

    def __init__(
        self, conversation: Conversation, kind: Kind, before: BaseException | None, **detail: Any
    ) -> None:
        self.kind = kind
        self.before = before  # what was being handled when it began
        self.detail = detail
        self.sequence = 0
        self.told = False  # that it failed, at once
        self.dialog = False  # it answers a question
        self.nested: list[Kind] = []
        self.conversation = conversation
        self._started = time.monotonic()
        self._sent_at: float | None = None
        self._prompt = 0.0
        self._foreign_since = 0.0
        self._lines: list[tuple[str, bool]] = []
        self._typed = False
        self._command: tuple[str | None, Cut] | None = None
        self._unseen = False
        self._answer = Ends(TEXT) if conversation.wants_answers else None
        self._echo = Ends(_ECHO) if kind.text == "lines" and conversation.wants_text else None
        self._answer_size = 0

    def enter(self) -> Context:
        """The caller's context, in the session."""
        return self.conversation.enter()

    # What happens in it.

    @property
    def own(self) -> bool:
        """Whether what is typed now is the step's own, not that of a helper (finding the prompt)."""
        return all(kind is self.kind for kind in self.nested)

    @property
    def sent(self) -> bool:
        """Whether its command has been sent."""
        return self._sent_at is not None

    def enters(self, kind: Kind) -> None:
        """A step of *kind* begins within this one, in the same thread."""
        if kind is PROMPT and PROMPT not in self.nested:
            self._foreign_since = time.monotonic()
        self.nested.append(kind)

    def leaves(self) -> None:
        """The innermost one is over."""
        if self.nested.pop() is PROMPT and PROMPT not in self.nested:
            self._prompt += time.monotonic() - self._foreign_since

    def typed(self, text: str, may_be_told: bool) -> None:
        """*text* was sent; unless it *may_be_told*, it answers something that the device asked."""
        if self.kind.needs_text and text.isspace():
            return  # it only asks where it is
        self._typed = True
        if self._sent_at is None:
            self._sent_at = time.monotonic()
        elif self.kind.text == "first":
            return  # what follows confirms, or pages
        if self.kind.text != "none":
            self._lines.append((text, may_be_told and not self._unseen))
            self._unseen = True

    def heard(self, text: str) -> None:
        """The device sent *text*."""
        self._unseen = False
        self._answer_size += size_of(text)
        if self._answer is not None:
            self._answer.add(text)
        if self._echo is not None:
            self._echo.add(text)

    # What is told of it.

    @property
    def worth_telling(self) -> bool:
        """Whether something was done at all."""
        return self._typed or not self.kind.needs_text

    def command(self) -> tuple[str | None, Cut]:
        """The fingerprint of what was typed, and its text, cut and without secrets; for good once it was told."""
        if self._command is None:
            self._command = self._made_command()
        return self._command

    def _made_command(self) -> tuple[str | None, Cut]:
        lines = self._shown_lines()
        first = lines[0].strip() if lines else ""
        found = cut("\n".join(line.rstrip("\r\n") for line in lines), TEXT)
        size = sum(size_of(text) for text, _ in self._lines)
        shown = self.conversation.redact(found.text) if self.conversation.wants_text else ""
        return fingerprint(first) if first else None, Cut(shown, size, found.truncated or self._hides(lines))

    def _hides(self, lines: list[str]) -> bool:
        return sum(text.strip("\r\n").count("\n") + 1 for text, _ in self._lines) > len(lines)

    def _shown_lines(self) -> list[str]:
        """The lines that may be told. Where nobody knows what a line answers: if the device has echoed it."""
        echo = self._echo.text if self._echo is not None else ""
        shown = []
        for text, may_be_told in self._lines:
            first, *rest = text.strip("\r\n").split("\n")
            shown += [first] if may_be_told or (first.strip() and first.strip() in echo) else []
            shown += [line for line in rest if line.strip() and line.strip() in echo]
        return shown

    def answer(self) -> dict[str, Any]:
        """The fields of an event that say what the device answered."""
        found: dict[str, Any] = {"response_size": self._answer_size, "response_truncated": False}
        if self._answer is not None:
            cut_answer = cut(self._stripped(self._answer.text), TEXT)
            found["response_text"] = self.conversation.redact(cut_answer.text)
            found["response_truncated"] = cut_answer.truncated or self._answer.lost
        return found

    def _stripped(self, answer: str) -> str:
        """*answer* without the echo of the command in front and the prompt behind."""
        echo = self._lines[0][0].strip() if self.kind.text == "first" and self._lines else ""
        first, newline, rest = answer.partition("\n")
        if echo and first.strip().endswith(echo):
            answer = rest if newline else ""
        body, newline, last = answer.rpartition("\n")
        prompt = self.conversation.prompt
        return body if newline and prompt and last.strip().startswith(prompt) else answer

    def times(self) -> dict[str, Any]:
        """The fields of an event that say how long it took, all of it, and of it the parts that are known."""
        now = time.monotonic()
        found = {"duration": now - self._started}
        if self._prompt:
            found["prompt_duration"] = self._prompt
        if self._sent_at is not None:
            found["wait_duration"] = now - self._sent_at
        return found

    @property
    def duration(self) -> float:
        """How long it took, so far, in seconds."""
        return time.monotonic() - self._started


class Ends:
    """The head and the tail of a text that may be of any length."""

    __slots__ = ("_head", "_limit", "_tail", "lost")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head = self._tail = ""
        self.lost = False

    def add(self, text: str) -> None:
        """*text* follows."""
        room = self._limit - len(self._head)
        if room > 0:
            self._head += text[:room]
            text = text[room:]
        if text:
            tail = self._tail + text[-self._limit :]
            self.lost = self.lost or len(self._tail) + len(text) > self._limit
            self._tail = tail[-self._limit :]

    @property
    def text(self) -> str:
        """What is kept."""
        return self._head + self._tail


def size_of(text: str) -> int:
    """Bytes of *text* in UTF-8: of a device's terminal, near enough to those on the wire."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _answered(step: Step) -> Event:
    mark, text = step.command()
    return DeviceCommandResponse(
        command=step.kind.name,
        sequence=step.sequence,
        fingerprint=mark,
        text=text.text,
        **step.answer(),
        **step.times(),
    )


def _configured(step: Step) -> Event:
    mark, text = step.command()
    return DeviceConfigSet(
        sequence=step.sequence,
        fingerprint=mark,
        text=text.text,
        size=text.size,
        truncated=text.truncated,
        duration=step.duration,
        **step.answer(),
    )


def _committed(step: Step) -> Event:
    return DeviceConfigCommit(sequence=step.sequence, duration=step.duration, **step.answer())


def _saved(step: Step) -> Event:
    return DeviceConfigSave(sequence=step.sequence, duration=step.duration, **step.answer())


def _enabled(step: Step) -> Event:
    return DeviceConfigEnable(sequence=step.sequence, duration=step.duration)


def _transferred(step: Step) -> Event:
    return DeviceFileTransfer(sequence=step.sequence, duration=step.duration, **step.detail)


COMMAND: Final = Kind("COMMAND", _answered, text="first")
PROBE: Final = Kind("COMMAND", _answered, text="first", fixed=True)  # what kind of device is it?
MODE: Final = Kind("COMMAND", _answered, text="first", needs_text=True)  # into and out of configuration
CONFIG: Final = Kind("CONFIG", _configured, text="lines")
COMMIT: Final = Kind("COMMIT", _committed)
SAVE: Final = Kind("SAVE", _saved)
ENABLE: Final = Kind("ENABLE", _enabled, needs_text=True)
TRANSFER: Final = Kind("FILE_TRANSFER", _transferred)
PROMPT: Final = Kind("PROMPT", None)  # finding the prompt: nothing is told of it
