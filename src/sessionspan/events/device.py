"""What is done with a device."""

from __future__ import annotations

from opentelemetry._logs import SeverityNumber

from sessionspan.events.event import Event, Privacy, SeedNames, attribute, event
from sessionspan.events.keys import COMMAND_TEXT, FINGERPRINT


@event
class _Step(Event):
    """One thing that is done with a device."""

    vital = False
    command: str = attribute("sessionspan.command.name")  # from a closed set
    sequence: int = attribute("sessionspan.command.sequence")


@event
class _Answered(_Step):
    """A step that the device has answered."""

    response_size: int = attribute("sessionspan.response.size")
    response_text: str | None = attribute("sessionspan.response.text", Privacy.CONTENT)
    response_truncated: bool = attribute("sessionspan.response.truncated")
    duration: float = attribute("sessionspan.command.duration")  # seconds


@event
class _AnsweredCommand(_Answered):
    """A command that the device has answered."""

    fingerprint: str | None = attribute(FINGERPRINT)
    text: str | None = attribute(COMMAND_TEXT, Privacy.COMMAND)
    prompt_duration: float | None = attribute("sessionspan.command.prompt.duration")  # seconds, of the duration
    wait_duration: float | None = attribute("sessionspan.command.wait.duration")  # seconds, of the duration


@event
class DeviceCommandSent(_Step):
    """A command was sent to a device."""

    name = "sessionspan.device.command.sent"
    audit = False
    shown = (FINGERPRINT,)
    seed_names = SeedNames(netmiko=("command_sent",))
    fingerprint: str | None = attribute(FINGERPRINT)
    text: str | None = attribute(COMMAND_TEXT, Privacy.COMMAND)
    size: int = attribute("sessionspan.command.size")
    truncated: bool = attribute("sessionspan.command.truncated")


@event
class DeviceCommandResponse(_AnsweredCommand):
    """A device answered a command."""

    name = "sessionspan.device.command.response"
    audit = False
    shown = (FINGERPRINT, "sessionspan.response.size", "sessionspan.command.duration")
    seed_names = SeedNames(netmiko=("command_response",))


@event
class DeviceCommandFailure(_AnsweredCommand):
    """A command, a change of configuration or a transfer failed, or the device closed the connection meanwhile."""

    name = "sessionspan.device.command.failure"
    severity = SeverityNumber.WARN
    shown = ("sessionspan.command.name", FINGERPRINT, "error.type", "exception.message")
    seed_names = SeedNames(netmiko=("command_failed",))
    error_type: str = attribute("error.type")  # an exception's class, or connection_closed
    message: str | None = attribute("exception.message", Privacy.COMMAND)


@event
class DeviceConfigSet(_Answered):
    """Lines of configuration were sent to a device."""

    name = "sessionspan.device.config.set"
    shown = (FINGERPRINT, "sessionspan.command.duration")
    command: str = attribute("sessionspan.command.name", default="CONFIG")
    fingerprint: str | None = attribute(FINGERPRINT)  # of the first line
    text: str | None = attribute(COMMAND_TEXT, Privacy.COMMAND)
    size: int = attribute("sessionspan.command.size")
    truncated: bool = attribute("sessionspan.command.truncated")


@event
class DeviceConfigCommit(_Answered):
    """A device was told to put its candidate configuration into force."""

    name = "sessionspan.device.config.commit"
    shown = ("sessionspan.command.duration",)
    command: str = attribute("sessionspan.command.name", default="COMMIT")


@event
class DeviceConfigSave(_Answered):
    """A device was told to keep its configuration over a restart."""

    name = "sessionspan.device.config.save"
    shown = ("sessionspan.command.duration",)
    command: str = attribute("sessionspan.command.name", default="SAVE")


@event
class DeviceConfigEnable(_Step):
    """A session got the rights to configure a device (Cisco's ``enable``)."""

    name = "sessionspan.device.config.enable"
    shown = ("sessionspan.command.duration",)
    command: str = attribute("sessionspan.command.name", default="ENABLE")
    duration: float = attribute("sessionspan.command.duration")


@event
class DeviceRedispatch(Event):
    """A session goes on with a device of another type: behind a terminal server, or found out."""

    name = "sessionspan.device.redispatch"
    vital = False
    shown = ("sessionspan.device.type",)


@event
class DeviceDialog(Event):
    """A question of a device was answered. The answer may be a password: only its length is told."""

    name = "sessionspan.device.dialog"
    vital = False
    audit = False
    shown = ("sessionspan.input.size",)
    sequence: int = attribute("sessionspan.command.sequence")
    input_size: int = attribute("sessionspan.input.size")


@event
class DeviceFileTransfer(_Step):
    """A file was copied to or from a device, over a connection of its own or within the session."""

    name = "sessionspan.device.file_transfer"
    shown = (
        "sessionspan.file.direction",
        "sessionspan.file.source",
        "sessionspan.file.size",
        "sessionspan.command.duration",
    )
    command: str = attribute("sessionspan.command.name", default="FILE_TRANSFER")
    direction: str = attribute("sessionspan.file.direction")  # put, get
    source: str | None = attribute("sessionspan.file.source", Privacy.COMMAND)
    destination: str | None = attribute("sessionspan.file.destination", Privacy.COMMAND)
    size: int | None = attribute("sessionspan.file.size")  # bytes
    duration: float = attribute("sessionspan.command.duration")
