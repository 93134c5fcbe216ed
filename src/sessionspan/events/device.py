"""What is done with a device."""

from __future__ import annotations

from opentelemetry._logs import SeverityNumber

from sessionspan.events.event import Event, Privacy, SeedNames, attribute, event
from sessionspan.events.keys import COMMAND_TEXT, FINGERPRINT


@event
class DeviceCommandSent(Event):
    """A command was sent to a device."""

    name = "sessionspan.device.command.sent"
    vital = False
    audit = False
    shown = (FINGERPRINT,)
    seed_names = SeedNames(netmiko=("command_sent",))
    command: str = attribute("sessionspan.command.name")  # from a closed set
    sequence: int = attribute("sessionspan.command.sequence")
    fingerprint: str | None = attribute(FINGERPRINT)
    text: str | None = attribute(COMMAND_TEXT, Privacy.COMMAND)
    size: int = attribute("sessionspan.command.size")
    truncated: bool = attribute("sessionspan.command.truncated")


@event
class DeviceCommandResponse(Event):
    """A device answered a command."""

    name = "sessionspan.device.command.response"
    vital = False
    audit = False
    shown = (FINGERPRINT, "sessionspan.response.size", "sessionspan.command.duration")
    seed_names = SeedNames(netmiko=("command_response",))
    command: str = attribute("sessionspan.command.name")
    sequence: int = attribute("sessionspan.command.sequence")
    fingerprint: str | None = attribute(FINGERPRINT)
    text: str | None = attribute(COMMAND_TEXT, Privacy.COMMAND)
    response_size: int = attribute("sessionspan.response.size")
    response_text: str | None = attribute("sessionspan.response.text", Privacy.CONTENT)
    response_truncated: bool = attribute("sessionspan.response.truncated")
    duration: float = attribute("sessionspan.command.duration")  # seconds, of it:
    prompt_duration: float | None = attribute("sessionspan.command.prompt.duration")
    wait_duration: float | None = attribute("sessionspan.command.wait.duration")


@event
class DeviceCommandFailure(Event):
    """A command, a change of configuration or a transfer failed, or the device closed the connection meanwhile."""

    name = "sessionspan.device.command.failure"
    severity = SeverityNumber.WARN
    vital = False
    shown = ("sessionspan.command.name", FINGERPRINT, "error.type", "exception.message")
    seed_names = SeedNames(netmiko=("command_failed",))
    command: str = attribute("sessionspan.command.name")
    sequence: int = attribute("sessionspan.command.sequence")
    fingerprint: str | None = attribute(FINGERPRINT)
    text: str | None = attribute(COMMAND_TEXT, Privacy.COMMAND)
    response_size: int = attribute("sessionspan.response.size")
    response_text: str | None = attribute("sessionspan.response.text", Privacy.CONTENT)
    response_truncated: bool = attribute("sessionspan.response.truncated")
    duration: float = attribute("sessionspan.command.duration")
    prompt_duration: float | None = attribute("sessionspan.command.prompt.duration")
    wait_duration: float | None = attribute("sessionspan.command.wait.duration")
    error_type: str = attribute("error.type")  # an exception's class, or connection_closed
    message: str | None = attribute("exception.message", Privacy.COMMAND)


@event
class DeviceConfigSet(Event):
    """Lines of configuration were sent to a device."""

    name = "sessionspan.device.config.set"
    vital = False
    shown = (FINGERPRINT, "sessionspan.command.duration")
    command: str = attribute("sessionspan.command.name", default="CONFIG")
    sequence: int = attribute("sessionspan.command.sequence")
    fingerprint: str | None = attribute(FINGERPRINT)  # of the first line
    text: str | None = attribute(COMMAND_TEXT, Privacy.COMMAND)
    size: int = attribute("sessionspan.command.size")
    truncated: bool = attribute("sessionspan.command.truncated")
    response_size: int = attribute("sessionspan.response.size")
    response_text: str | None = attribute("sessionspan.response.text", Privacy.CONTENT)
    response_truncated: bool = attribute("sessionspan.response.truncated")
    duration: float = attribute("sessionspan.command.duration")


@event
class DeviceConfigCommit(Event):
    """A device was told to put its candidate configuration into force."""

    name = "sessionspan.device.config.commit"
    vital = False
    shown = ("sessionspan.command.duration",)
    command: str = attribute("sessionspan.command.name", default="COMMIT")
    sequence: int = attribute("sessionspan.command.sequence")
    response_size: int = attribute("sessionspan.response.size")
    response_text: str | None = attribute("sessionspan.response.text", Privacy.CONTENT)
    response_truncated: bool = attribute("sessionspan.response.truncated")
    duration: float = attribute("sessionspan.command.duration")


@event
class DeviceConfigSave(Event):
    """A device was told to keep its configuration over a restart."""

    name = "sessionspan.device.config.save"
    vital = False
    shown = ("sessionspan.command.duration",)
    command: str = attribute("sessionspan.command.name", default="SAVE")
    sequence: int = attribute("sessionspan.command.sequence")
    response_size: int = attribute("sessionspan.response.size")
    response_text: str | None = attribute("sessionspan.response.text", Privacy.CONTENT)
    response_truncated: bool = attribute("sessionspan.response.truncated")
    duration: float = attribute("sessionspan.command.duration")


@event
class DeviceConfigEnable(Event):
    """A session got the rights to configure a device (Cisco's ``enable``)."""

    name = "sessionspan.device.config.enable"
    vital = False
    shown = ("sessionspan.command.duration",)
    command: str = attribute("sessionspan.command.name", default="ENABLE")
    sequence: int = attribute("sessionspan.command.sequence")
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
class DeviceFileTransfer(Event):
    """A file was copied to or from a device, over a connection of its own or within the session."""

    name = "sessionspan.device.file_transfer"
    vital = False
    shown = (
        "sessionspan.file.direction",
        "sessionspan.file.source",
        "sessionspan.file.size",
        "sessionspan.command.duration",
    )
    command: str = attribute("sessionspan.command.name", default="FILE_TRANSFER")
    sequence: int = attribute("sessionspan.command.sequence")
    direction: str = attribute("sessionspan.file.direction")  # put, get
    source: str | None = attribute("sessionspan.file.source", Privacy.COMMAND)
    destination: str | None = attribute("sessionspan.file.destination", Privacy.COMMAND)
    size: int | None = attribute("sessionspan.file.size")  # bytes
    duration: float = attribute("sessionspan.command.duration")
