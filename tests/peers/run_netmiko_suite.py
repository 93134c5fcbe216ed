"""Run netmiko's own tests, bare or under our patches, and say what came of each.

    python -m tests.peers.run_netmiko_suite SUITE REPORT.json [--patched] [pytest options, names of test files]

SUITE is the folder ``tests`` of netmiko's sdist, byte for byte: the wheel has none of it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.peers.report import Report


def main(arguments: list[str]) -> int:
    suite, target, *options = arguments
    os.environ["SESSIONSPAN_RAISE"] = "off"  # as it is for users; failures are counted
    recorder = None
    if "--patched" in options:
        options.remove("--patched")
        recorder = _record()
    report = Report()
    os.chdir(suite)  # its tests open files beside them
    exit_code = pytest.main(["-c", os.devnull, "--rootdir", suite, "-p", "no:cacheprovider", *options], [report])
    says: dict[str, Any] = {"exit_code": int(exit_code), "outcomes": report.outcomes}
    if recorder is not None:
        says |= _account(recorder)
    Path(target).write_text(json.dumps(says, indent=1))
    return int(exit_code)


def _record() -> Any:
    """Patch netmiko, with providers in memory."""
    from sessionspan.testing import Recorder
    from sessionspan_netmiko import NetmikoInstrumentor

    recorder = Recorder()
    NetmikoInstrumentor().instrument(
        tracer_provider=recorder.tracer_provider, logger_provider=recorder.logger_provider
    )
    return recorder


def _account(recorder: Any) -> dict[str, Any]:
    """What must add up after the suite."""
    from sessionspan import live
    from sessionspan.guard import guard

    live.end_all("process_exit")  # connections of modules that nobody closes
    counts = {
        name: len(recorder.named(name))
        for name in ("session.start", "session.established", "session.end", "device.command.sent")
    }
    answered = len(recorder.named("device.command.response"))
    failed = recorder.named("device.command.failure")
    return {
        "sessions": len(recorder.sessions),
        "counts": counts,
        "answered": answered,
        "failed": sum(each["sessionspan.command.name"] == "COMMAND" for each in failed),
        "failures": guard.failures,
        "reasons": sorted((span.attributes or {})["sessionspan.end_reason"] for span in recorder.sessions),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
