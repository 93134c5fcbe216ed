"""The benchmarks still measure what they say they do; no figure of theirs is judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.dialogues import DIALOGUES, SMTP
from benchmarks.process import can_count
from benchmarks.ratios import WARM_UP, Lost, Measured, check_delivered, check_the_same
from benchmarks.sink import Shape
from benchmarks.variants import VARIANTS

ROOT = Path(__file__).parent.parent


def run(module, *options):
    command = [sys.executable, "-m", f"benchmarks.{module}", "--json", "--rounds", "1", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["variants"]


def test_all_telemetry_arrives_and_both_instrumentations_say_the_same():
    variants = run("smtp", "--cpu-only", "--sessions", "3")

    assert list(variants) == list(VARIANTS)
    sessions = WARM_UP + 3
    assert variants["logs"]["delivered"] == {"span": sessions, "log record": sessions * SMTP.events}
    assert variants["both"]["delivered"]["span event"] == sessions * SMTP.events
    for events in ("logs", "span", "both"):
        ours, peer = variants[events], variants[f"straightforward-{events}"]
        assert ours["same_records_as"] == [f"straightforward-{events}"]
        assert ours["attributes"] == peer["attributes"] != {}
        assert ours["delivered"] == peer["delivered"]


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_all_telemetry_of_a_mailbox_protocol_arrives(protocol):
    if protocol == "imap":
        pytest.importorskip("pymap", reason="pymap needs Python 3.11")
    variants = run(protocol, "--cpu-only", "--sessions", "3")

    assert list(variants) == ["bare", "no-sdk", "logs", "span", "both"]
    sessions, events = WARM_UP + 3, DIALOGUES[protocol].events
    assert variants["no-sdk"]["delivered"] == {}
    assert variants["logs"]["delivered"] == {"span": sessions, "log record": sessions * events}
    assert variants["both"]["delivered"]["span event"] == sessions * events
    assert f"span {protocol.upper()} session" in variants["span"]["attributes"]


def test_instructions_are_counted_where_valgrind_is():
    variants = run("smtp", "--sessions", "2", "--variants", "bare")

    assert (variants["bare"]["instructions"] is not None) == can_count()


def test_memory_is_measured_over_bare():
    variants = run("memory", "--low", "20", "--high", "60", "--variants", "bare", "logs")

    assert variants["bare"]["over_bare"] == 0
    assert variants["logs"]["over_bare"] is not None


def test_a_lost_record_fails_the_run():
    record = Shape("log record", "sessionspan.command", (), True, True)
    span = Shape("span", "SMTP session", (), False, False)
    arrived = Measured().shapes
    arrived.update({span: 10, record: 10 * SMTP.events - 1})

    with pytest.raises(Lost, match="79"):
        check_delivered(VARIANTS["logs"], arrived, 10, SMTP.events)


def test_a_record_that_the_other_does_not_send_fails_the_run():
    one, other = Measured(), Measured()
    one.shapes[Shape("span", "SMTP session", ("a: string_value",), False, False)] = 1
    other.shapes[Shape("span", "SMTP session", ("a: int_value",), False, False)] = 1

    with pytest.raises(Lost, match="do not say the same"):
        check_the_same("one", "other", {"one": one, "other": other})


def test_commands_of_netmiko_are_measured_and_all_recorded():
    command = [sys.executable, "-m", "benchmarks.netmiko", "--json", "--rounds", "1", "--commands", "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    variants = json.loads(done.stdout)["stub"]
    assert [variants[name]["events"] for name in variants] == [0, 0, 2, 2, 2]
    assert variants["commands"]["cpu_us"] > variants["bare"]["cpu_us"] > 0
