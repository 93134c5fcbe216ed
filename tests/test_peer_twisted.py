"""twisted.mail's own test suite comes to the same, test by test, bare and under our patches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def run(report: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.peers.run_twisted_suite", str(report), *options]
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
    assert report.exists(), "the suite did not run to its end:\n" + (done.stdout + done.stderr)[-4000:]
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("twisted") / "bare.json")


@pytest.fixture(scope="module", params=[[], ["--context"]], ids=["patched", "patched, with carried sessions"])
def patched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("twisted") / "patched.json", "--patched", *request.param)


pytestmark = [pytest.mark.timeout(300), pytest.mark.peer]


def test_every_test_of_twisted_mail_comes_to_the_same_under_our_patches(bare, patched):
    assert len(bare["outcomes"]) > 800
    assert patched["outcomes"] == bare["outcomes"]
    assert patched["exit_code"] == bare["exit_code"]  # of the trial: a test may want what is not installed


def test_the_suite_was_heard(patched):
    assert patched["sessions"] > 200
    assert patched["events"] > 4 * patched["sessions"]


def test_nothing_of_ours_failed_in_the_suite(patched):
    assert patched["failures"] == 0


def test_every_session_of_the_suite_that_started_has_ended_once(patched):
    assert patched["started"] == patched["ended"] == patched["sessions"]
    assert (patched["unfinished"], patched["orphans"]) == ([], 0)
