"""pymap's own test suite comes to the same, test by test, bare and under our patches."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.peers.install_pymap_suite import COMMAND, PYTHON, is_installed

ROOT = Path(__file__).parent.parent

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.peer,
    pytest.mark.skipif(not is_installed(), reason=f"pymap's test suite is not installed: {COMMAND}"),
]


def _run(report: Path, *options: str) -> dict[str, Any]:
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("src", "instrumentation"))
    run = subprocess.run(
        [str(PYTHON), "-m", "tests.peers.run_pymap_suite", str(report), *options, "-q"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, "PYTEST_ADDOPTS": "", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert report.exists(), "the suite did not run to its end:\n" + (run.stdout + run.stderr)[-4000:]
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """The suite bare, and the suite patched."""
    directory = tmp_path_factory.mktemp("pymap")
    return _run(directory / "bare.json"), _run(directory / "patched.json", "--patched")


def test_every_test_of_pymap_comes_to_the_same_under_our_patches(runs):
    bare, patched = runs
    assert len(bare["outcomes"]) > 300
    assert patched["outcomes"] == bare["outcomes"]
    assert patched["exit_code"] == bare["exit_code"] == 0


def test_the_suite_was_heard(runs):
    _, patched = runs
    assert patched["sessions"] > 100
    assert patched["events"] > 5 * patched["sessions"]


def test_nothing_of_ours_failed_in_the_suite(runs):
    _, patched = runs
    assert patched["failures"] == 0


def test_every_session_of_the_suite_that_started_has_ended_once(runs):
    _, patched = runs
    assert patched["started"] == patched["ended"] == patched["sessions"]
    assert (patched["unfinished"], patched["orphans"]) == ([], 0)
