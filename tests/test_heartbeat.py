"""Heartbeats: long sessions say that they go on, by one thread that is there only while it has something to do."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from sessionspan import heartbeat, live, own, session, settings
from sessionspan.events import AuthSuccess, Command
from sessionspan.session import Session
from sessionspan.testing import Recorder


@pytest.fixture(autouse=True)
def quick(recorded: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    heartbeat.stop()
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.02)
    yield
    heartbeat.stop()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sessionspan-heartbeat"]


def beats(recorder: Recorder, count: int) -> None:
    recorder.wait_until(lambda: len(recorder.named("session.heartbeat")) >= count, f"{count} heartbeats")


def gone(thread: threading.Thread) -> bool:
    thread.join(10)
    return not thread.is_alive()


def test_a_session_that_goes_on_says_so_with_its_identity_and_age(recorder: Recorder) -> None:
    with session("IMAP", peer=("192.0.2.7", 1)) as s:
        s.record(AuthSuccess(identity="alice"))
        beats(recorder, 2)
    first, second = recorder.named("session.heartbeat")[:2]
    assert first.session_id == s.id
    assert (first["user.name"], first["client.address"]) == ("alice", "192.0.2.7")
    assert 0.02 <= first["sessionspan.session.duration"] < second["sessionspan.session.duration"]
    assert first.body.startswith("session.heartbeat ")
    assert first.trace_id == recorder.events[0].trace_id


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL", 3600)


@pytest.mark.usefixtures("slow")
def test_a_session_that_is_younger_says_nothing(recorder: Recorder) -> None:
    with session("IMAP") as s:
        s.beat(3600)
    assert recorder.transcript() == ["session.start", "session.end"]


@pytest.mark.usefixtures("slow")
def test_an_ended_session_says_nothing(recorder: Recorder) -> None:
    with session("IMAP") as s:
        pass
    s.beat(0)
    assert recorder.transcript() == ["session.start", "session.end"]


def test_heartbeats_are_in_the_logs_and_not_on_the_span(recorder: Recorder) -> None:
    with session("IMAP"):
        beats(recorder, 1)
    span = recorder.wait_for_session()
    assert [event.name for event in span.events] == ["sessionspan.session.start", "sessionspan.session.end"]
    count = len(recorder.named("session.heartbeat"))
    assert (span.attributes or {})["sessionspan.event.unspanned.count"] == count
    assert (span.attributes or {})["sessionspan.event.count"] == count + 2


def test_a_flood_of_commands_silences_no_heartbeat(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONSPAN_MAX_EVENTS", "1")
    monkeypatch.setenv("SESSIONSPAN_CAPTURE", "off")
    settings.reload()
    with session("IMAP") as s:
        for number in range(3):
            s.record(Command(command="NOOP", sequence=number))
        beats(recorder, 1)


def test_there_is_one_thread_while_sessions_are_open_and_none_without(recorder: Recorder) -> None:
    assert threads() == []
    with session("IMAP"), session("SMTP"):
        beats(recorder, 4)
        (thread,) = threads()
        assert thread.daemon
    assert gone(thread)
    with session("IMAP"):
        beats(recorder, len(recorder.named("session.heartbeat")) + 1)
        (another,) = threads()
    assert gone(another)


def test_sessions_that_nobody_listens_to_start_no_thread() -> None:
    own.SCOPE.unbind()
    with session("IMAP"):
        assert threads() == []


def test_a_session_that_nobody_holds_ends_though_no_other_opens(recorder: Recorder) -> None:
    with session("SMTP"):
        Session(own.SCOPE, "IMAP").start()
        gc.collect()
        span = recorder.wait_for_session()
    assert (span.attributes or {})["sessionspan.end_reason"] == "garbage_collected"


def test_one_session_that_fails_to_beat_stops_no_other(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SESSIONSPAN_RAISE")
    settings.reload()
    with session("IMAP") as broken, session("SMTP") as other:
        with monkeypatch.context() as broken_for_now:
            broken_for_now.setattr(broken, "_started_clock", None)  # no time to count from
            recorder.wait_until(
                lambda: other.id in {event.session_id for event in recorder.named("session.heartbeat")}, "beat"
            )


def test_many_sessions_beat_a_few_at_a_time(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    thread = heartbeat._Thread(live._beating, 0)
    monkeypatch.setattr(thread.stopped, "wait", lambda seconds: pauses.append(seconds))
    monkeypatch.setattr(heartbeat, "INTERVAL", 0)
    opened = [Session(own.SCOPE, "IMAP") for _ in range(250)]
    for s in opened:
        s.start()
    heartbeat.stop()
    recorder.clear()
    thread._beat()
    assert len(recorder.named("session.heartbeat")) == 250
    assert pauses == [heartbeat._PAUSE] * 2
    for s in opened:
        s.end()


FORKS = """
import os, sys, threading
from sessionspan import heartbeat, own, session
from sessionspan.testing import Recorder

heartbeat.INTERVAL = 0.02
recorder = Recorder()
own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider)

def names():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("sessionspan")]

def beats(recorder):
    count = len(recorder.named("session.heartbeat"))
    recorder.wait_until(lambda: len(recorder.named("session.heartbeat")) > count, "heartbeat")

with session("IMAP") as ours:
    beats(recorder)
    child = os.fork()
    if child == 0:
        assert names() == [], names()
        recorder.clear()
        with session("SMTP") as theirs:
            beats(recorder)
            assert names() == ["sessionspan-heartbeat"]
            assert {event.session_id for event in recorder.named("session.heartbeat")} == {theirs.id}
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    beats(recorder)
    assert {event.session_id for event in recorder.named("session.heartbeat")} == {ours.id}
print("all of it")
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=30
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_parent_and_child_of_a_fork_each_have_a_thread_for_their_own() -> None:
    done = run(FORKS)
    assert (done.stdout, done.stderr) == ("all of it\n", "")


LEAVES = """
from sessionspan import heartbeat, own, session
from sessionspan.testing import Recorder

heartbeat.INTERVAL = 3600
recorder = Recorder()
own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider)
session("IMAP").__enter__()
assert heartbeat._thread.is_alive()
"""


def test_the_thread_keeps_no_process_from_its_end() -> None:
    done = run(LEAVES)
    assert (done.returncode, done.stderr) == (0, "")
