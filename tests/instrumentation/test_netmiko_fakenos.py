"""Sessions with ten vendors' devices, as fakenos plays them: the command of CONTRIBUTING.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sessionspan.testing import Recorder
from tests.instrumentation import fakenos_vendors
from tests.instrumentation.fakenos_vendors import Device, Outcome

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "tests.instrumentation.fakenos_vendors"]


@pytest.mark.timeout(120)
def test_a_session_with_a_device_of_any_of_ten_vendors_is_one_span_with_its_commands() -> None:
    done = subprocess.run([*COMMAND, "--json"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert len({each["vendor"] for each in found}) == 10
    for each in found:
        assert (each["outcome"], each["end_reason"], each["wrong"]) == ("ok", "quit", [])
        names = [line.split()[0] for line in each["transcript"]]
        steps = ["sent", "response"] * len(each["commands"])
        assert names == ["start", "auth.success", "established", *steps, "auth.end", "end"], each["platform"]
        assert steps


@pytest.mark.timeout(60)
def test_an_answer_that_netmiko_does_not_read_to_its_end_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    device = Device("Cisco", "cisco_ios", {"show clock": "words that no clock says"})
    monkeypatch.setattr(fakenos_vendors, "DEVICES", (device,))
    assert fakenos_vendors.main(["--bare", "cisco_ios"]) == 1
    said = capsys.readouterr().out
    assert "WRONG: 'show clock' was answered without 'words that no clock says'" in said
    assert "0 of 1 as they should be" in said


def test_a_session_that_was_not_recorded_is_told() -> None:
    found = Outcome("Cisco", "cisco_ios")
    fakenos_vendors.judge(found, ["show clock"], Recorder(), 22)
    assert found.wrong == ["0 spans of sessions"]


def test_a_platform_that_is_not_of_the_list_is_an_error_that_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        fakenos_vendors.main(["cisco_toaster"])
    assert left.value.code == 2
    assert "cisco_toaster" in capsys.readouterr().err
