"""Run aiosmtpd's own test suite, bare or under our patches, and say what came of each test.

    python -m tests.peers.run_aiosmtpd_suite REPORT.json [--patched] [pytest options, names of test files]

The suite is the one inside the installed package, byte for byte that of the sdist; `aiosmtpd.ini` has the
settings of its own pytest.ini, whose warnings are errors. It uses the fixed port 8025, so one run at a time,
or each in a network of its own.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.peers.report import Report

INI = Path(__file__).with_name("aiosmtpd.ini")


def main(arguments: list[str]) -> int:
    target, *options = arguments
    os.environ["SESSIONSPAN_RAISE"] = "off"  # as it is for users; failures are counted
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
    report.write(target, exit_code, recorder)
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
