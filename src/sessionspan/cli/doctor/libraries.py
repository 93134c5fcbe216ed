"""Checks of the libraries: which are there, in which version, and which of our patches are in place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sessionspan.cli.doctor.findings import Finding, error, ok, warning
from sessionspan.cli.doctor.subject import Subject

_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


def libraries(subject: Subject) -> Iterator[Finding]:
    """Each instrumentation: its library, and its patches."""
    if not subject.answer:
        return
    every = subject.answer["instrumentations"]
    if not any(_is_there(each) or each["broken"] for each in every):
        names = ", ".join(dict.fromkeys(each["library"] for each in every if each["requires"])) or "none"
        yield error(
            "library.none",
            f"No library is installed that sessionspan knows ({names}), so only sessions of your own code "
            "(sessionspan.session, SESSIONSPAN_PORTS) are recorded.",
            f"{subject.interpreter} -m pip install 'sessionspan[aiosmtpd]'",
        )
        return
    for each in every:
        yield _one(subject, each)


def _is_there(each: Mapping[str, Any]) -> bool:
    """Whether something can be recorded: of the standard library only what is wanted can."""
    return bool(each["version"] if each["requires"] else each["wanted"])


def _one(subject: Subject, each: Mapping[str, Any]) -> Finding:
    # Where several instrumentations have one library, the name says which this is: `sessionspan_twisted_imap`.
    part = each["name"].removeprefix(f"sessionspan_{each['library']}").lstrip("_")
    of_part = f" ({part})" if part and part != each["name"] else ""
    label = f"{each['library']} {each['version']}{of_part}"
    if each["broken"]:
        return error(
            "library.broken", f"{each['name']} cannot be loaded: {each['broken']}.", "Please report this line."
        )
    if not each["wanted"]:
        return ok(
            "library.unlisted",
            f"Servers of your own on {each['library']} are recorded where their code says so: SESSIONSPAN_PORTS "
            "lists no port.",
        )
    if each["version"] is None:
        return ok("library.absent", f"{each['library']}{of_part} is not installed.")
    if not each["fits"]:
        return error(
            "library.version",
            f"{label} is not supported: {each['name']} needs {each['requires']}. Its sessions are not recorded.",
            f"{subject.interpreter} -m pip install '{each['requires'].replace(' ', '')}'",
        )
    if each["name"] in _disabled(subject) or "*" in _disabled(subject):
        return error(
            "library.disabled",
            f"{_DISABLED}={subject.variable(_DISABLED)} switches {each['name']} off.",
            f"Take {'*' if '*' in _disabled(subject) else each['name']} out of {_DISABLED}.",
        )
    return _patches(each, label)


def _disabled(subject: Subject) -> list[str]:
    return [name.strip() for name in subject.variable(_DISABLED).split(",")]


def _patches(each: Mapping[str, Any], label: str) -> Finding:
    """Whether all patches of a library are in place."""
    if not each["instrumented"]:
        return error(
            "library.not_instrumented",
            f"{label}: the launcher did not come to {each['name']}.",
            "The launcher's own finding above says why.",
        )
    patches = [patch for patch in each["patches"] if patch["state"] != "not installed"]
    missed = [patch for patch in patches if patch["state"] != "in place"]
    total = len(patches)
    if not missed:
        modules = ", ".join(f"{name} {count}" for name, count in Counter(map(_module, patches)).items())
        return ok("library", f"{label}: all {total} patches are in place ({modules}).")
    reasons = "; ".join(f"{patch['module']}.{patch['function']}: {patch['state']}" for patch in missed)
    whole = any(patch["module"] == each["patches"][0]["module"] for patch in missed)
    tell = error if whole else warning
    return tell(
        "library.patches",
        f"{label}: {len(missed)} of {total} patches are not in place ({reasons}). "
        + ("Its sessions are not recorded." if whole else "Sessions are recorded without these."),
        f"The library has changed, or something else has changed it. Please report it{_until_then(each)}.",
    )


def _until_then(each: Mapping[str, Any]) -> str:
    required = each["requires"].replace(" ", "")
    return f"; until then: pip install '{required}' in another version" if required else ""


def _module(patch: Mapping[str, str]) -> str:
    return patch["module"]


def failures(subject: Subject) -> Iterator[Finding]:
    """Failures of ours that were stopped while everything was set up."""
    count = subject.answer.get("failures", 0)
    if count:
        lines = [line for line in subject.said.splitlines() if line.startswith("sessionspan failed inside")]
        yield error(
            "library.failed",
            f"sessionspan itself failed {count} times while it was set up. {' '.join(lines[:1])}",
            "Please report it, with the output of: sessionspan doctor --json",
        )


CHECKS: Final = (libraries, failures)
