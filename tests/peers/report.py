"""What a library's own test suite came to, and what of ours must add up after it."""

from __future__ import annotations

import gc
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest


class Report:
    """What each test came to, by its id: the outcomes of its set-up, call and tear-down."""

    def __init__(self) -> None:
        self.outcomes: dict[str, list[str]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.outcomes[report.nodeid].append(f"{report.when} {report.outcome}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.outcomes[report.nodeid].append("collection failed")

    def write(self, target: str, exit_code: int, recorder: Any) -> None:
        """Write it to the file *target*, as JSON, with what *recorder*, if there is one, has recorded."""
        says = _account(recorder) if recorder is not None else {}
        says |= {"exit_code": int(exit_code), "outcomes": self.outcomes}
        Path(target).write_text(json.dumps(says, indent=1))


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
