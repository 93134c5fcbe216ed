"""Fixtures for all tests: failures of ours raise, and settings are read anew for each test."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from typing import Any

import hypothesis
import pytest

os.environ["SESSIONSPAN_RAISE"] = "on"

from sessionspan import own
from sessionspan import settings as settings_module
from sessionspan.testing import Recorder

hypothesis.settings.register_profile("untimed", deadline=None)  # no test asserts a time
hypothesis.settings.load_profile("untimed")

# pymap cannot be installed for Python 3.10.
collect_ignore = [] if sys.version_info >= (3, 11) else ["test_peer_pymap.py"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """CI skips nothing: where a user's machine lacks a tool, CI has it or fails."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def fresh_settings() -> Iterator[None]:
    """A test that sets a variable and reloads leaves nothing behind for the next."""
    settings_module.reload()
    yield
    for name in [name for name in os.environ if name.startswith("SESSIONSPAN_") and name != "SESSIONSPAN_RAISE"]:
        del os.environ[name]
    settings_module.reload()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def recorded(recorder: Recorder) -> Iterator[None]:
    """Sessions of our own scope are told to the recorder."""
    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider)
    yield
    own.SCOPE.unbind()
