"""Run pymap's own test suite, bare or under our patches, and say what came of each test.

    .tools/pymap-suite/bin/python -m tests.peers.run_pymap_suite REPORT.json [--patched] [pytest options]

The suite is that of the sdist, byte for byte, with the settings of its own pyproject.toml; see
`install_pymap_suite`, in whose environment this runs. Its connections are objects that play both reader and
writer by a script: what the patches listen to is not asyncio's.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from tests.peers.install_pymap_suite import SUITE
from tests.peers.report import Report


def main(arguments: list[str]) -> int:
    target, *options = arguments
    os.environ["SESSIONSPAN_RAISE"] = "off"  # as it is for users; failures are counted
    recorder: Any = None
    if "--patched" in options:
        options.remove("--patched")
        recorder = _record()
    report = Report()
    settings = ["-c", str(SUITE / "pyproject.toml"), "--rootdir", str(SUITE), "-p", "no:cacheprovider"]
    exit_code = pytest.main([*settings, *options, str(SUITE / "test")], plugins=[report])
    report.write(target, exit_code, recorder)
    return int(exit_code)


def _record() -> Any:
    """Patch pymap, with providers in memory."""
    from sessionspan.testing import Recorder
    from sessionspan_pymap import PymapInstrumentor

    recorder = Recorder()
    PymapInstrumentor().instrument(
        tracer_provider=recorder.tracer_provider, logger_provider=recorder.logger_provider
    )
    return recorder


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
