"""Checks of the launcher: which distro and configurator win, and whether the SDK was set up."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sessionspan.cli.doctor.findings import Finding, error, ok, warning
from sessionspan.cli.doctor.subject import RUN, Subject

_CHOOSE: Final = "export OTEL_PYTHON_DISTRO=sessionspan OTEL_PYTHON_CONFIGURATOR=sessionspan"
_EXCEPTION: Final = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Conflict)\b.*")


def _label(entry: Mapping[str, Any]) -> str:
    return f"{entry['name']} ({entry['package']} {entry['version']})"


def distro(subject: Subject) -> Iterator[Finding]:
    """Who sets the defaults."""
    if not subject.answer:
        return
    candidates = subject.answer["distros"]
    made = [entry for entry in candidates if entry["made"]]
    chosen = subject.environ.get("OTEL_PYTHON_DISTRO")
    if made:
        names = subject.environ.get("OTEL_PYTHON_DISTRO")
        why = f"OTEL_PYTHON_DISTRO={names} names it" if names else "it was found first"
        if names == "sessionspan" and subject.launcher == RUN:
            why = "sessionspan run chooses it"
        yield ok("distro", f"Launched by {subject.launcher}. The distro is {_label(made[0])}: {why}.")
    else:
        names = ", ".join(entry["name"] for entry in candidates)
        yield error(
            "distro.unknown",
            f"OTEL_PYTHON_DISTRO={chosen!r} is none of those installed ({names}), so no distro sets its defaults.",
            _CHOOSE,
        )
    yield from _two(subject, candidates)


def _two(subject: Subject, candidates: list[Mapping[str, Any]]) -> Iterator[Finding]:
    """Two distros are a matter of luck, unless one is named."""
    by_run = subject.launcher == RUN and bool(subject.command)
    if len(candidates) < 2 or by_run or os.environ.get("OTEL_PYTHON_DISTRO"):
        return
    labels = " and ".join(map(_label, candidates))
    yield warning(
        "distro.two",
        f"{len(candidates)} distros are installed: {labels}. sessionspan run chooses ours; "
        f"opentelemetry-instrument takes the first that it finds, here {candidates[0]['name']}, and prints a "
        "warning about the other at each start.",
        _CHOOSE,
    )


def configurator(subject: Subject) -> Iterator[Finding]:
    """Who sets up the SDK, and whether that worked."""
    if not subject.answer:
        return
    candidates = subject.answer["configurators"]
    made = [entry for entry in candidates if entry["made"]]
    chosen = subject.environ.get("OTEL_PYTHON_CONFIGURATOR")
    if not made and chosen is not None:
        yield error(
            "configurator.unknown",
            f"OTEL_PYTHON_CONFIGURATOR={chosen!r} is none of those installed "
            f"({', '.join(entry['name'] for entry in candidates)}): nothing sets up the SDK, nothing is exported.",
            _CHOOSE,
        )
    elif not subject.answer["sdk"]:
        yield error(
            "launcher.failed",
            f"The launcher failed, so nothing is set up: {_reason(subject.said)}",
            "Correct that; the program runs all the same, and records nothing.",
        )
    else:
        yield ok("configurator", f"The SDK is set up by the configurator {_label(made[0]) if made else '?'}.")


def _reason(said: str) -> str:
    """The exception that the launcher logged."""
    lines = [line for line in said.splitlines() if _EXCEPTION.match(line)]
    return lines[-1] if lines else "it does not say why."


def sdk_disabled(subject: Subject) -> Iterator[Finding]:
    """OpenTelemetry's own switch."""
    if subject.variable("OTEL_SDK_DISABLED").lower() == "true":
        yield error("sdk.disabled", "OTEL_SDK_DISABLED=true: nothing is recorded.", "unset OTEL_SDK_DISABLED")


CHECKS: Final = (distro, configurator, sdk_disabled)
