"""aiosmtpd's own test suite comes to the same, test by test, bare and under our patches."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
_IN_OWN_NETWORK = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "-"]


def _networks_of_our_own() -> bool:
    """Whether a run can have a network to itself, hence port 8025 too: then the two run side by side."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run([*_IN_OWN_NETWORK, "true"], capture_output=True).returncode == 0


def _start(report: Path, *options: str) -> subprocess.Popen[bytes]:
    prefix = _IN_OWN_NETWORK if _networks_of_our_own() else []
    command = [sys.executable, "-m", "tests.peers.run_aiosmtpd_suite", str(report), *options]
    # The same plugins for everybody: only what the suite itself asks for.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    with report.with_suffix(".log").open("w") as output:
        return subprocess.Popen(
            [*prefix, *command, "-p", "pytest_mock", "-q"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )


def _finish(run: subprocess.Popen[bytes], report: Path) -> dict[str, Any]:
    run.wait()
    assert report.exists(), "the suite did not run to its end:\n" + report.with_suffix(".log").read_text()[-4000:]
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """The suite bare, and the suite patched."""
    directory = tmp_path_factory.mktemp("aiosmtpd")
    bare, patched = directory / "bare.json", directory / "patched.json"
    first = _start(bare)
    if not _networks_of_our_own():
        first.wait()
    second = _start(patched, "--patched")
    return _finish(first, bare), _finish(second, patched)


# Both runs together take a minute, for aiosmtpd's tests wait for time-outs; serially two.
pytestmark = [pytest.mark.timeout(600), pytest.mark.peer]


def test_every_test_of_aiosmtpd_comes_to_the_same_under_our_patches(runs):
    bare, patched = runs
    assert len(bare["outcomes"]) > 500
    assert patched["outcomes"] == bare["outcomes"]
    assert patched["exit_code"] == bare["exit_code"]


def test_the_suite_was_heard(runs):
    _, patched = runs
    assert patched["sessions"] > 300
    assert patched["events"] > 5 * patched["sessions"]


def test_nothing_of_ours_failed_in_the_suite(runs):
    _, patched = runs
    assert patched["failures"] == 0


def test_every_session_of_the_suite_that_started_has_ended_once(runs):
    _, patched = runs
    assert patched["started"] == patched["ended"] == patched["sessions"]
    assert (patched["unfinished"], patched["orphans"]) == ([], 0)
