"""The canary: passwords are sent to a real server in the program's interpreter, and looked for in what leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any, Final

from sessionspan.cli.doctor.findings import Finding, error, ok, warning
from sessionspan.cli.doctor.subject import Subject, run_bounded

_CODE: Final = "from sessionspan.cli.doctor.canary_server import main; main()"
_MARK: Final = "sessionspan-canary:"
_PATIENCE: Final = 30.0  # seconds


def canary(subject: Subject) -> Iterator[Finding]:
    """Every way to log in, and a search for the password in every exported byte."""
    if not subject.answer:
        yield warning("canary.not_run", "The canary was not run: see the errors above.", "Correct them first.")
        return
    output, said, problem = run_bounded(
        [subject.interpreter, "-c", _CODE], _environment(subject), _PATIENCE, os.path.abspath(os.sep)
    )
    line = next((line for line in output.splitlines() if line.startswith(_MARK)), None)
    told: dict[str, Any] = json.loads(line.removeprefix(_MARK)) if line else {}
    problem = problem or told.get("broken", "") or ("" if told else (said.splitlines() or ["it said nothing"])[-1])
    if problem:
        yield error("canary.failed", f"The canary's server failed: {problem}.", "Please report it.")
        return
    yield _judged(told)
    for library in told["absent"]:
        yield warning(
            "canary.not_run",
            f"The canary was not run on {library}, which is not installed.",
            f"{subject.interpreter} -m pip install 'sessionspan[{library}]'",
        )


def _judged(told: dict[str, Any]) -> Finding:
    if told["leaks"]:
        return error(
            "canary.leak",
            f"The password leaves when it is sent like this: {'; '.join(told['leaks'])}.",
            "Stop exporting, and report it privately (docs/security.md). A handler or a log line of your own that "
            "quotes it does this, too.",
        )
    if not told["control"]:
        return error("canary.blind", "The search would not have found it.", "Please report it.")
    return ok(
        "canary.clean",
        f"A password was sent to real servers in {told['ways']} ways, each its own "
        f"({'; '.join(told['servers'])}). Searched: "
        f"{told['bytes']:,} exported bytes ({told['spans']} spans, {told['records']} log records, metrics), for "
        f"{told['forms']} forms of each (plain, hex, URL-encoded, base64 at any alignment). Found: none.",
    )


def _environment(subject: Subject) -> dict[str, str]:
    """The program's environment with its settings of sessionspan, and without launcher, exporters, samplers."""
    environ = {name: value for name, value in subject.environ.items() if not name.startswith("OTEL_")}
    environ.pop("SESSIONSPAN_RAISE", None)
    environ.pop("SESSIONSPAN_IGNORE_CLIENTS", None)  # the canary's client is on loopback
    for name in ("SESSIONSPAN_LOG_ACTIVITY", "SESSIONSPAN_LOG_ACTIVITY_MASK"):
        environ.pop(name, None)  # a canary is no activity of the site's
    entries = (entry for entry in environ.get("PYTHONPATH", "").split(os.pathsep) if entry)
    environ["PYTHONPATH"] = os.pathsep.join(
        os.path.abspath(entry) for entry in entries if not entry.endswith("auto_instrumentation")
    )
    return environ


CHECKS: Final = (canary,)
