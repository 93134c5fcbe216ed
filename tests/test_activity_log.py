"""A site's own log of activities, and the names that other systems have for events."""

from __future__ import annotations

import contextlib
import itertools
import os
import poplib
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sessionspan import activity_log, process_run, session, settings, stream_session
from sessionspan.activities import ACTIVITIES, parse_mask, selected
from sessionspan.events import (
    AuthEnd,
    AuthFailure,
    AuthSuccess,
    Event,
    SeedNames,
    SessionEnd,
    StoreMessageDelete,
    StoreMessageOpen,
    StoreMessageStore,
    StoreUserCreate,
    StoreUserDelete,
    StoreUserModify,
    catalogue,
)
from sessionspan.projection import SYSTEMS, names_in
from sessionspan.testing import Recorder
from tests.canary import found_in
from tests.kit_servers import serve_pop3, streams

Data = dict[str, Any]
HASH_KEY = "0123456789abcdef0123456789abcdef"
CANARY = "Can4ry-s3cret"


pytestmark = pytest.mark.usefixtures("recorded")


class Site(ModuleType):
    """The site's module: keeps what its function is called with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__("the_site")
        self.calls: list[tuple[str, Data]] = []
        self.log_activity: Callable[[str, Data], object] = lambda *call: self.calls.append(call)
        self._patch = monkeypatch
        monkeypatch.setitem(sys.modules, "the_site", self)

    def use(self, **chosen: str) -> Site:
        """Set the settings of these names, and the function."""
        chosen.setdefault("log_activity", "the_site:log_activity")
        for name, value in chosen.items():
            self._patch.setenv(f"SESSIONSPAN_{name.upper()}", value)
        settings.reload()
        return self

    def told(self) -> list[str]:
        activity_log.flush(10)
        return [activity for activity, _ in self.calls]

    def data(self, activity: str) -> Data:
        activity_log.flush(10)
        (found,) = [data for name, data in self.calls if name == activity]
        return found


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(monkeypatch)


EVERYTHING: tuple[Event, ...] = (
    AuthFailure(mechanism="PLAIN", user_name="mallory", error_type="invalid_credentials"),
    AuthSuccess(identity="jdoe", mechanism="PLAIN", user_name="jdoe"),
    StoreMessageStore(mailbox="INBOX", uid="7", size=2218, message_id="s@mail.example"),
    StoreMessageOpen(mailbox="INBOX", uid="8", size=99, message_id="o@mail.example"),
    StoreMessageDelete(mailbox="INBOX", uid="9"),
    StoreUserCreate(user="new", profile=("quota:10240",)),
    StoreUserModify(user="new", profile=("quota:10240 -> 20480",)),
    StoreUserDelete(user="new"),
    AuthEnd(),
)


def everything(site: Site, **chosen: str) -> str:
    """A session with each activity; returns its id."""
    site.use(**chosen)
    with session("POP3", peer=("192.0.2.5", 12839), local=("192.0.2.1", 14080)) as s:
        for event in EVERYTHING:
            s.record(event)
    return s.id


TOLD = [
    "start",
    "login_start",
    "login_pw_nomatch",
    "login_start",
    "login_pw_match",
    "msg_store",
    "msg_open",
    "msg_delete",
    "user_create",
    "user_modify",
    "user_delete",
    "login_end",
    "end",
]


# What it is called with.


def test_the_function_gets_each_activity_by_its_name_in_order(site: Site) -> None:
    everything(site)
    assert site.told() == TOLD
    assert {name: data["log_type"] for name, data in site.calls} == {n: a.number for n, a in ACTIVITIES.items()}


def test_every_activity_says_in_which_sequence_it_is(site: Site, recorder: Recorder) -> None:
    ours = everything(site)
    site.told()
    for _, data in site.calls:
        assert data["log_id"] == process_run.log_id()
        assert 0 < len(data["log_id"]) <= 20
        assert (data["session_id"], data["protocol"]) == (ours, "POP3")
    assert [data["log_subid"] for _, data in site.calls] == [0, 0, 0, *[1] * 10]
    stamps = [data["timestamp"] for _, data in site.calls]
    assert stamps == sorted(stamps)
    assert stamps[0] == recorder.events[0].timestamp


USAGE = "03:pop3:192.0.2.1+14080:192.0.2.5+12839"


def test_the_data_has_the_fields_of_pmdf(site: Site) -> None:
    everything(site)
    activity_log.flush(10)
    common = ("log_id", "log_subid", "log_type", "timestamp", "session_id", "protocol")
    found = [{key: value for key, value in data.items() if key not in common} for _, data in site.calls]
    assert found == [
        {"usage": USAGE},
        {"username": "mallory", "usage": USAGE},
        {"username": "mallory", "stat": "invalid_credentials"},
        {"username": "jdoe", "usage": USAGE},
        {"username": "jdoe"},
        {"user": "jdoe", "mailbox": "INBOX", "uidl": "7", "size": 2218, "msg_id": "s@mail.example"},
        {"user": "jdoe", "mailbox": "INBOX", "uidl": "8", "size": 99, "msg_id": "o@mail.example"},
        {"user": "jdoe", "mailbox": "INBOX", "uidl": "9"},
        {"username": "new", "profile": ("quota:10240",)},
        {"username": "new", "profile": ("quota:10240 -> 20480",)},
        {"username": "new"},
        {"username": "jdoe"},
        {},
    ]


@pytest.mark.parametrize(
    ("protocol", "usage"), [("IMAP", "21:imap::"), ("SMTP", "22:smtp::"), ("FTP", "24:ftp::")]
)
def test_the_usage_of_what_pmdf_does_not_know_is_a_number_of_ours(site: Site, protocol: str, usage: str) -> None:
    site.use()
    with session(protocol):
        pass
    assert site.data("start")["usage"] == usage


def read_and_delete(site: Site, recorder: Recorder) -> None:
    site.use()
    with streams(stream_session("pop3")(serve_pop3)) as server:
        client = poplib.POP3("127.0.0.1", server.port, timeout=5)
        client.user("jdoe")
        client.pass_("secret")
        client.uidl()
        client.retr(1)
        client.dele(1)
        client.quit()
        recorder.wait_for_session()
    activity_log.flush(10)


def test_a_pop3_session_is_told_as_pmdf_tells_it(site: Site, recorder: Recorder) -> None:
    """Example 13-2: a client logs in, reads a message and deletes it."""
    read_and_delete(site, recorder)
    assert site.told() == [
        "start",
        "login_start",
        "login_pw_match",
        "msg_open",
        "msg_delete",
        "login_end",
        "end",
    ]
    assert site.data("msg_open")["msg_id"] == "hi@mail.example"
    assert site.data("msg_delete")["uidl"] == "uid-of-1"
    assert site.data("msg_delete")["user"] == "jdoe"


def test_the_function_of_the_docs_writes_what_the_docs_show(
    site: Site, recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parent.parent / "docs" / "migration.md").read_text()
    (code,) = re.findall(r"^```python\n(import time.*?)^```", page, re.DOTALL | re.MULTILINE)
    (shown,) = re.findall(r"^```text\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    of_the_docs: dict[str, Any] = {}
    exec(compile(code, "migration.md", "exec"), of_the_docs)
    site.log_activity = of_the_docs["log_activity"]
    read_and_delete(site, recorder)
    varying = r"^\w{10}|\d\d:\d\d:\d\d|\+\d+"
    printed = re.sub(varying, "*", capsys.readouterr().out, flags=re.MULTILINE)
    assert printed == re.sub(varying, "*", shown, flags=re.MULTILINE)


def test_no_credential_is_in_any_data(site: Site, recorder: Recorder) -> None:
    site.use(capture="content")
    with streams(stream_session("pop3")(lambda r, w: serve_pop3(r, w, password=CANARY.encode()))) as server:
        for password in (CANARY, CANARY + "?"):
            client = poplib.POP3("127.0.0.1", server.port, timeout=5)
            client.user("jdoe")
            with contextlib.suppress(poplib.error_proto):
                client.pass_(password)
            with contextlib.suppress(poplib.error_proto):
                client.apop("jdoe", password)
            client.quit()
        recorder.wait_for_sessions(2)
    assert set(site.told()) >= {"login_pw_match", "login_pw_nomatch"}
    assert found_in(repr(site.calls).encode(), [CANARY.encode()]) == []


# Privacy.

IDENTITY = ("192.0.2.5", "jdoe", "new")
ENVELOPE = ("mallory", "INBOX", "s@mail.example", "o@mail.example", "quota")


def test_what_the_settings_keep_from_the_logs_is_kept_from_the_function(site: Site) -> None:
    everything(site, identity="off", envelope="off")
    site.told()
    assert [word for word in (*IDENTITY, *ENVELOPE) if word in repr(site.calls)] == []
    assert site.data("start")["usage"] == "03:pop3:192.0.2.1+14080:"
    assert site.data("msg_delete")["uidl"] == "9"


def test_what_the_settings_hash_is_hashed_for_the_function(site: Site) -> None:
    everything(site, identity="hash", envelope="hash", hash_key=HASH_KEY)
    site.told()
    assert [word for word in (*IDENTITY, *ENVELOPE) if word in repr(site.calls)] == []
    users = {data["user"] for name, data in site.calls if name.startswith("msg_")}
    assert users == {site.data("login_end")["username"]}
    (hashed,) = users
    assert len(hashed) == 64
    assert len(site.data("msg_open")["msg_id"]) == 64


def test_of_an_envelope_the_domain_is_told_when_that_is_all(site: Site) -> None:
    everything(site, envelope="domain")
    assert site.data("msg_open")["msg_id"] == "mail.example"
    assert "mailbox" not in site.data("msg_open")
    assert "username" not in site.data("login_pw_nomatch")


# The mask.


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("-1", [*ACTIVITIES]),
        ("", [*ACTIVITIES]),
        ("0xFFFFFFFF", [*ACTIVITIES]),
        ("0", ["start", "end"]),
        ("1", ["start", "end", "login_start"]),
        ("16", ["start", "end", "msg_store"]),
        ("96", ["start", "end", "msg_open", "msg_delete"]),
        ("0x60", ["start", "end", "msg_open", "msg_delete"]),
        ("0b1110000000", ["start", "end", "user_create", "user_delete", "user_modify"]),
        ("-2", [name for name in ACTIVITIES if name != "login_start"]),
        ("msg_delete, MSG_OPEN", ["start", "end", "msg_open", "msg_delete"]),
        ("POPSTORE_LOG_MSG_OPEN", ["start", "end", "msg_open"]),
        ("start", ["start", "end"]),
    ],
)
def test_a_mask_selects_by_pmdfs_bits(text: str, names: list[str]) -> None:
    assert list(selected(parse_mask(text))) == names


def test_what_is_masked_is_not_told(site: Site) -> None:
    everything(site, log_activity_mask="96")
    assert site.told() == ["start", "msg_open", "msg_delete", "end"]


# Bad input.


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("LOG_ACTIVITY", "module", "must be package.module:function"),
        ("LOG_ACTIVITY", "module:", "must be package.module:function"),
        ("LOG_ACTIVITY", "a b:c", "must be package.module:function"),
        ("LOG_ACTIVITY_MASK", "lots", "'lots' is none"),
        ("LOG_ACTIVITY_MASK", "1e3", "'1e3' is none"),
        ("LOG_ACTIVITY_MASK", "4294967296", "must have 32 bits at most"),
    ],
)
def test_a_wrong_value_is_one_line(variable: str, value: str, said: str) -> None:
    found, (line,) = settings.load({f"SESSIONSPAN_{variable}": value})
    assert found == settings.Settings()
    assert said in line


def test_a_mask_without_a_function_is_one_line() -> None:
    _, problems = settings.load({"SESSIONSPAN_LOG_ACTIVITY_MASK": "96"})
    assert problems == ["SESSIONSPAN_LOG_ACTIVITY_MASK does nothing without SESSIONSPAN_LOG_ACTIVITY."]


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("no_such_module:log", "ModuleNotFoundError"),
        ("the_site:no_such_function", "AttributeError"),
        ("the_site:calls", "it is no function"),
    ],
)
def test_a_function_that_is_not_there_is_one_line(
    site: Site, place: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        everything(site, log_activity=place)
        activity_log.flush(10)
    lines = [record.getMessage() for record in caplog.records if record.name == "sessionspan"]
    assert {line for line in lines if place in line and why in line} == set(lines) != set()


# The function does what it likes, and harms nobody.


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_function_that_raises_is_told_once_without_the_text_and_is_called_on(
    site: Site, error: type[BaseException], recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    def log_activity(activity: str, data: Data) -> None:
        site.calls.append((activity, data))
        raise error("of jdoe's secret")

    site.log_activity = log_activity
    site.use()
    everything(site)
    assert site.told() == TOLD
    (line,) = [record.getMessage() for record in caplog.records if record.name == "sessionspan"]
    assert error.__name__ in line
    assert "test_activity_log.py" in line
    assert "the_site:log_activity" in line
    assert "secret" not in line
    assert (recorder.wait_for_session().attributes or {})["sessionspan.outcome"] == "ok"


def test_a_function_that_hangs_delays_no_session(site: Site, recorder: Recorder) -> None:
    go = threading.Event()

    def log_activity(activity: str, data: Data) -> None:
        assert go.wait(30)
        site.calls.append((activity, data))

    site.log_activity = log_activity
    site.use()
    everything(site)
    recorder.wait_for_session()
    assert site.calls == []
    go.set()
    assert site.told() == TOLD


def test_no_more_activities_wait_than_the_limit(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go, called = threading.Event(), threading.Event()

    def log_activity(activity: str, data: Data) -> None:
        called.set()
        assert go.wait(30)
        site.calls.append((activity, data))

    monkeypatch.setattr(activity_log, "LIMIT", 3)
    site.log_activity = log_activity
    site.use()
    with session("POP3") as s:
        assert called.wait(10)  # with `start`
        for event in EVERYTHING:
            s.record(event)
    log = activity_log.activity_log()
    assert log is not None
    assert log.dropped == len(TOLD) - 1 - 3
    go.set()
    assert site.told() == TOLD[:4]
    (line,) = [record.getMessage() for record in caplog.records if record.name == "sessionspan"]
    assert "too slow: 3 activities wait" in line


def test_it_is_called_once_at_a_time(site: Site) -> None:
    inside = threading.Lock()

    def log_activity(activity: str, data: Data) -> None:
        assert inside.acquire(blocking=False)
        site.calls.append((activity, data))
        inside.release()

    def speak() -> None:
        together.wait(10)
        with session("POP3") as s:
            for event in EVERYTHING:
                s.record(event)

    site.log_activity = log_activity
    site.use()
    together = threading.Barrier(20)
    threads = [threading.Thread(target=speak) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(site.told()) == 20 * len(TOLD)
    by_session = sorted(site.calls, key=lambda call: call[1]["session_id"])
    for _, calls in itertools.groupby(by_session, key=lambda call: call[1]["session_id"]):
        assert [activity for activity, _ in calls] == TOLD


def test_what_the_function_itself_does_is_no_activity(site: Site, recorder: Recorder) -> None:
    def log_activity(activity: str, data: Data) -> None:
        site.calls.append((activity, data))
        with session("SMTP"):
            pass

    site.log_activity = log_activity
    site.use()
    with session("POP3"):
        pass
    assert site.told() == ["start", "end"]
    assert len(recorder.wait_for_sessions(3)) == 3


def test_without_a_function_nothing_runs() -> None:
    with session("POP3"):
        pass
    assert activity_log.activity_log() is None


# Processes.

PROGRAM = """
import os, signal, sys, time
from sessionspan import current_session, session
from sessionspan.events import AuthSuccess

def log_activity(activity, data):
    print(activity, data["log_id"], flush=True)

def main():
    CODE

if __name__ == "__main__":
    main()
"""


def run(tmp_path: Path, code: str, launch: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program that logs its own activities; none has an SDK, unless *launch* sets one up."""
    (tmp_path / "program.py").write_text(PROGRAM.replace("CODE", code.strip().replace("\n", "\n    ")))
    environment = {**os.environ, "SESSIONSPAN_LOG_ACTIVITY": "program:log_activity", "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", f"{launch}\nimport program; program.main()"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)


def activities(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.partition(" ")[0] for line in done.stdout.splitlines()]


def test_it_needs_no_sdk_and_has_all_at_exit(tmp_path: Path) -> None:
    done = run(tmp_path, 'session("POP3").__enter__().record(AuthSuccess(identity="jdoe"))')
    assert activities(done) == ["start", "login_start", "login_pw_match", "login_end", "end"], done.stderr
    assert (done.returncode, done.stderr) == (0, "")


def test_a_function_that_never_returns_keeps_no_process_from_its_end(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        'program = sys.modules["program"]\nprogram.print = lambda *a, **k: time.sleep(3600)\n'
        'session("POP3").__enter__()',
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
def test_it_has_all_at_sigterm(tmp_path: Path) -> None:
    code = 'session("POP3").__enter__()\nsignal.raise_signal(signal.SIGTERM)\ntime.sleep(60)'
    done = run(tmp_path, code, "from sessionspan import sigterm; sigterm.install()")
    assert activities(done) == ["start", "end"]
    assert done.returncode == -signal.SIGTERM


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_logs_what_is_its_own_as_another_run(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
with session("POP3"):
    from sessionspan import activity_log
    activity_log.flush(10)
    import warnings
    warnings.simplefilter("ignore")  # of a fork in a process with threads
    child = os.fork()
    if child == 0:
        with session("IMAP"):
            pass
        activity_log.flush(10)
        os._exit(0)
    os.waitpid(child, 0)
""",
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [activity for activity, _ in lines] == ["start", "start", "end", "end"], done.stderr
    (ours, theirs, also_theirs, also_ours) = [log_id for _, log_id in lines]
    assert (ours, theirs) == (also_ours, also_theirs)
    assert ours != theirs


# Names.


def test_every_activity_of_pmdf_is_projected_from_an_event() -> None:
    assert {name for event in catalogue() for name in event.seed_names.popstore} == set(ACTIVITIES)


def test_every_event_has_its_other_names_by_system() -> None:
    for event in catalogue():
        assert isinstance(event.seed_names, SeedNames)
        assert set(event.seed_names._asdict()) == set(SYSTEMS)


@pytest.mark.parametrize(
    ("reason", "name"),
    [("quit", "disconnection"), ("peer_reset", "disconnection"), ("connect_failed", "connection_failed")],
)
def test_an_end_is_a_failed_connection_or_a_disconnection_never_both(reason: str, name: str) -> None:
    assert names_in("netmiko", SessionEnd(facts={"sessionspan.end_reason": reason})) == (name,)
    assert names_in("popstore", SessionEnd(facts={"sessionspan.end_reason": reason})) == ("end",)


def test_other_events_have_all_of_their_names() -> None:
    assert names_in("popstore", AuthSuccess()) == ("login_start", "login_pw_match")
    assert names_in("kumomta", AuthSuccess()) == ()
