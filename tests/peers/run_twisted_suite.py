"""Run twisted.mail's own test suite by trial, bare or under our patches, and say what came of each test.

    python -m tests.peers.run_twisted_suite REPORT.json [--patched] [--context] [names of tests]

The suite is the one inside the installed package; ``--context`` carries the session through Deferreds, too.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import tempfile
from typing import Any

from tests.peers.report import Report

SUITES = ("twisted.mail.test", "twisted.cred.test", "twisted.protocols.haproxy.test")


def main(arguments: list[str]) -> int:
    target, *options = arguments
    names = [option for option in options if not option.startswith("--")] or list(SUITES)
    os.environ["SESSIONSPAN_RAISE"] = "off"  # as it is for users; failures are counted
    if "--context" in options:
        os.environ["SESSIONSPAN_TWISTED_CONTEXT"] = "on"
    recorder = _record() if "--patched" in options else None
    report = Report()
    succeeded = _run(names, report)
    if recorder is not None:
        _end_what_the_suite_dropped()
    report.write(target, not succeeded, recorder)
    return 0


def _run(names: list[str], report: Report) -> bool:
    """Run them; *report* keeps what trial says of each test."""
    reporter: Any = importlib.import_module("twisted.trial.reporter")
    runner: Any = importlib.import_module("twisted.trial.runner")

    class Reporter(reporter.MinimalReporter):  # type: ignore[misc] # found at run time only
        pass

    for said in ("Success", "Error", "Failure", "Skip", "ExpectedFailure", "UnexpectedSuccess"):
        setattr(Reporter, f"add{said}", _keeping(getattr(Reporter, f"add{said}"), said, report))
    with tempfile.TemporaryDirectory() as directory:
        trial = runner.TrialRunner(Reporter, workingDirectory=f"{directory}/trial")
        result = trial.run(runner.TestLoader().loadByNames(names, recurse=True))
    return bool(result.wasSuccessful())


def _keeping(add: Any, said: str, report: Report) -> Any:
    def keeping(self: Any, test: Any, *args: Any) -> None:
        report.outcomes[test.id()].append(said)
        add(self, test, *args)

    return keeping


def _record() -> Any:
    """Patch twisted.mail, with providers in memory."""
    from sessionspan.testing import Recorder
    from sessionspan_twisted import TwistedIMAPInstrumentor, TwistedPOP3Instrumentor, TwistedSMTPInstrumentor

    recorder = Recorder()
    for kind in (TwistedSMTPInstrumentor, TwistedPOP3Instrumentor, TwistedIMAPInstrumentor):
        kind().instrument(tracer_provider=recorder.tracer_provider, logger_provider=recorder.logger_provider)
    return recorder


def _end_what_the_suite_dropped() -> None:
    """Its tests drop connections that were never lost; their sessions end when that is noticed."""
    from sessionspan import live

    gc.collect()
    live.end_orphans()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
