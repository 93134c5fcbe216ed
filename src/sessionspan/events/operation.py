"""What an application does by way of sessions."""

from __future__ import annotations

from opentelemetry._logs import SeverityNumber

from sessionspan.events.event import Event, Privacy, SeedNames, attribute, event


@event
class OperationStart(Event):
    """A piece of the application's work began, which may use any number of sessions."""

    name = "sessionspan.operation.start"
    shown = ("sessionspan.operation.name",)
    seed_names = SeedNames(netmiko=("interface_collection_start",))


@event
class OperationPlanned(Event):
    """The commands that an operation is going to send."""

    name = "sessionspan.operation.planned"
    audit = False
    shown = ("sessionspan.operation.name", "sessionspan.operation.commands")
    seed_names = SeedNames(netmiko=("interface_commands_planned",))
    commands: tuple[str, ...] = attribute("sessionspan.operation.commands", Privacy.COMMAND)


@event
class OperationSuccess(Event):
    """An operation is done."""

    name = "sessionspan.operation.success"
    shown = ("sessionspan.operation.name", "sessionspan.operation.summary", "sessionspan.operation.duration")
    seed_names = SeedNames(netmiko=("interface_collection_success",))
    summary: str | None = attribute("sessionspan.operation.summary")  # the application's own words
    duration: float = attribute("sessionspan.operation.duration")  # seconds


@event
class OperationFailure(Event):
    """An operation has failed."""

    name = "sessionspan.operation.failure"
    severity = SeverityNumber.ERROR
    shown = ("sessionspan.operation.name", "error.type", "sessionspan.operation.summary")
    seed_names = SeedNames(netmiko=("interface_collection_failed",))
    error_type: str = attribute("error.type")
    summary: str | None = attribute("sessionspan.operation.summary")
    duration: float = attribute("sessionspan.operation.duration")
