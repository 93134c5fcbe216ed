"""Who a session's events say it is: always what holds now, and nothing is kept of sessions that are over."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import LogRecordProcessor

from sessionspan import facts, names, own, session
from sessionspan.addresses import Address
from sessionspan.events import AuthEnd
from sessionspan.session import Session
from sessionspan.testing import Recorder

PEER = Address("192.0.2.7", 40000)


pytestmark = pytest.mark.usefixtures("recorded")


def test_identities_that_are_ready_are_bounded_and_go_with_their_sessions() -> None:
    before = len(facts._ready)
    crowd = [Session(own.SCOPE, "SMTP", peer=PEER) for _ in range(facts._READY + 50)]
    for s in crowd:
        s.start()
        assert len(facts._ready) <= facts._READY
    assert any(s._facts in facts._ready for s in crowd)
    for s in crowd:
        s.end()
    assert len(facts._ready) <= before


def test_nothing_is_ready_of_a_session_that_is_over() -> None:
    with session("SMTP", peer=PEER) as s:
        assert s._facts in facts._ready
    assert s._facts.identity[names.CLIENT_ADDRESS] == "192.0.2.7"
    assert s._facts not in facts._ready


def test_nothing_is_ready_in_a_fork_of_the_sessions_of_its_parent() -> None:
    with session("SMTP", peer=PEER) as s:
        s.disown()
        assert s._facts not in facts._ready
        assert not s._facts.recorded


def test_a_login_that_ends_while_another_thread_asks_is_over_in_the_next_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with session("IMAP", peer=PEER) as s:
        known = s._facts
        known.accept_user("ann")

        def while_it_is_made(counted: Any) -> int:
            if known.authenticated:
                known.end_user()
            return len(counted)

        with monkeypatch.context() as other_thread:
            other_thread.setattr(facts, "len", while_it_is_made, raising=False)
            assert known.identity[names.USER_NAME] == "ann"  # it had been read
        assert names.USER_NAME not in known.identity


def test_who_a_session_is_holds_though_its_span_cannot_be_written() -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise ValueError  # as a filter of the application may, when the SDK warns of a span that has ended

    log = logging.getLogger("opentelemetry.sdk.trace")
    with session("IMAP", peer=PEER) as s:
        known = s._facts
        assert known.identity[names.CLIENT_ADDRESS] == "192.0.2.7"
        trace.get_current_span().end()
        log.addFilter(refuse)
        try:
            with pytest.raises(ValueError):
                known.accept_user("ann")
            assert known.identity[names.USER_NAME] == "ann"
            with pytest.raises(ValueError):
                known.learn_client(Address("198.51.100.1", 1))
            assert names.CLIENT_ADDRESS not in known.identity
        finally:
            log.removeFilter(refuse)


def test_a_login_is_over_though_nobody_could_take_its_end(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FailsAtLogout(LogRecordProcessor):
        def on_emit(self, log_record: Any) -> None:
            if log_record.log_record.event_name == "sessionspan.auth.end":
                raise ValueError

        def shutdown(self) -> None: ...

        def force_flush(self, timeout_millis: int = 0) -> bool:
            return True

    recorder.logger_provider.add_log_record_processor(FailsAtLogout())
    with session("IMAP", peer=PEER) as s:
        s.set_username("ann")
        with pytest.raises(ValueError):
            s.record(AuthEnd())
        assert s.username is None
        assert names.USER_NAME not in s._facts.identity
