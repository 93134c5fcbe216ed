"""The guard: our failures stop, theirs go through."""

from __future__ import annotations

import asyncio
import logging

import pytest

from sessionspan import settings
from sessionspan.guard import Guard


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Guard:
    monkeypatch.setenv("SESSIONSPAN_RAISE", "off")
    settings.reload()
    return Guard()


def test_a_failure_is_counted_and_told_once_without_its_text(
    quiet: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    @quiet
    def fails() -> None:
        raise ValueError("the peer's secret")

    for _ in range(5):
        assert fails() is None
    assert quiet.failures == 5
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "ValueError" in record.getMessage()
    assert "test_guard.py" in record.getMessage()
    assert "secret" not in record.getMessage()


def test_a_block_that_fails_goes_on_after_it(quiet: Guard) -> None:
    with quiet:
        raise KeyError("ours")
    assert quiet.failures == 1


@pytest.mark.parametrize("theirs", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_what_ends_the_application_goes_through(quiet: Guard, theirs: type[BaseException]) -> None:
    with pytest.raises(theirs), quiet:
        raise theirs
    with pytest.raises(theirs):
        quiet(lambda: (_ for _ in ()).throw(theirs))().__next__()  # type: ignore[union-attr]
    assert quiet.failures == 0


def test_under_test_failures_raise() -> None:
    guard = Guard()
    with pytest.raises(ValueError), guard:
        raise ValueError
    assert guard.failures == 1
