"""Run aiosmtpd's own test suite, bare or under our patches, and say what came of each test.

    python -m tests.peers.run_aiosmtpd_suite REPORT.json [--patched] [pytest options, names of test files]

The suite is the one inside the installed package, byte for byte that of the sdist; `aiosmtpd.ini` has the
settings of its own pytest.ini, whose warnings are errors. It uses the fixed port 8025, so one run at a time,
or each in a network of its own.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

INI = Path(__file__).with_name("aiosmtpd.ini")


class Report:
    """What each test came to, by its id: the outcomes of its set-up, call and tear-down."""

    def __init__(self) -> None:
        self.outcomes: dict[str, list[str]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.outcomes[report.nodeid].append(f"{report.when} {report.outcome}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.outcomes[report.nodeid].append("collection failed")


def main(arguments: list[str]) -> int:
    target, *options = arguments
    os.environ["SESSIONSPAN_RAISE"] = "off"  # as it is for users; failures are counted
    says: dict[str, Any] = {}
    recorder: Any = None
    if "--patched" in options:
        options.remove("--patched")
        recorder = _record()
    report = Report()
    spec = find_spec("aiosmtpd")
    assert spec is not None
    assert spec.origin is not None
    suite = Path(spec.origin).parent / "tests"
    names = [str(suite / option) for option in options if option.endswith(".py")] or [str(suite)]
    options = [option for option in options if not option.endswith(".py")]
    exit_code = pytest.main(
        ["-c", str(INI), "--rootdir", str(suite.parent.parent), "-p", "no:cacheprovider", *options, *names],
        plugins=[report],
    )
    if recorder is not None:
        says = _account(recorder)
    says |= {"exit_code": int(exit_code), "outcomes": report.outcomes}
    Path(target).write_text(json.dumps(says, indent=1))
    return int(exit_code)


def _record() -> Any:
    """Patch aiosmtpd, with providers in memory."""
    from sessionspan.testing import Recorder
    from sessionspan_aiosmtpd import AiosmtpdInstrumentor

    recorder = Recorder()
    AiosmtpdInstrumentor().instrument(
        tracer_provider=recorder.tracer_provider, logger_provider=recorder.logger_provider
    )
    return recorder


def _account(recorder: Any) -> dict[str, Any]:
    """What must add up after the suite."""
    from sessionspan import live
    from sessionspan.guard import guard

    gc.collect()
    return {
        "sessions": len(recorder.sessions),
        "events": len(recorder.events),
        "started": len(recorder.named("session.start")),
        "ended": len(recorder.named("session.end")),
        "unfinished": [repr(session) for session in live.open_sessions()],
        "orphans": len(live._orphans),
        "failures": guard.failures,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
