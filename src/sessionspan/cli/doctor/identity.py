"""Checks of the resource: whose telemetry it is, and whether processes can be told apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from sessionspan.cli.doctor.findings import Finding, ok, warning
from sessionspan.cli.doctor.subject import Subject


def _attributes(subject: Subject) -> dict[str, str]:
    """OTEL_RESOURCE_ATTRIBUTES as a dict."""
    pairs = (pair.partition("=") for pair in subject.variable("OTEL_RESOURCE_ATTRIBUTES").split(","))
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}


def service_name(subject: Subject) -> Iterator[Finding]:
    """By which name a backend finds it."""
    name = subject.variable("OTEL_SERVICE_NAME") or _attributes(subject).get("service.name", "")
    if name:
        yield ok("service.name", f"The service is {name}.")
    elif subject.answer:
        yield warning(
            "service.name",
            "The service has no name; backends list it as unknown_service.",
            "export OTEL_SERVICE_NAME=mx1\nsessionspan run names it after its script, where it has one.",
        )


def instance_id(subject: Subject) -> Iterator[Finding]:
    """Whether two processes of the service can be told apart."""
    fixed = _attributes(subject).get("service.instance.id")
    if fixed:
        yield warning(
            "instance.fixed",
            f"OTEL_RESOURCE_ATTRIBUTES fixes service.instance.id={fixed}: all processes started with this "
            "environment share it, and the metrics of one overwrite those of another.",
            "Take service.instance.id out (OpenTelemetry makes one for each process), or set it per process, "
            "to the name of the pod or of the unit.",
        )
    yield from _forked(subject)


def _forked(subject: Subject) -> Iterator[Finding]:
    """The workers of a pre-fork server: the SDK was set up before the fork."""
    if not subject.answer or subject.answer["forked_instance"] is None:
        return
    here = subject.answer["resource"].get("service.instance.id", "-")
    there = subject.answer["forked_instance"]
    servers = subject.answer["prefork"]
    why = "WEB_CONCURRENCY is set" if os.environ.get("WEB_CONCURRENCY") else f"{', '.join(servers)} is installed"
    if there != here:
        if servers or os.environ.get("WEB_CONCURRENCY"):
            yield ok("instance.forked", f"Each forked worker gets a service.instance.id of its own ({why}).")
    elif servers or os.environ.get("WEB_CONCURRENCY"):
        yield warning(
            "instance.forked",
            f"Forked workers {'share the service.instance.id' if here != '-' else 'have no service.instance.id'} "
            f"({why}): the metrics of one overwrite those of another.",
            f"{subject.interpreter} -m pip install --upgrade opentelemetry-sdk\n"
            "A newer one renews it after a fork. Or start a process for each worker, each with a "
            "service.instance.id of its own in OTEL_RESOURCE_ATTRIBUTES.",
        )


CHECKS: Final = (service_name, instance_id)
