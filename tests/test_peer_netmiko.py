"""netmiko's own tests come to the same, test by test, bare and under our patches: with no device, and with two."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.instrumentation import kit_hosts as kit

ROOT = Path(__file__).parent.parent
# Where .ci/run puts it; the wheel has no tests.
SDISTS = ROOT / ".tools" / "sdists"

# The live tests of both devices take two minutes each way: they wait, for netmiko reads by time-outs.
pytestmark = [pytest.mark.timeout(900), pytest.mark.peer]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    version = metadata.version("netmiko")
    sdist = SDISTS / f"netmiko-{version}.tar.gz"
    if not sdist.exists():
        pytest.skip(f"pip download --no-binary :all: --no-deps netmiko=={version} -d {SDISTS.relative_to(ROOT)}")
    directory = tmp_path_factory.mktemp("netmiko")
    shutil.unpack_archive(sdist, directory)
    return directory / f"netmiko-{version}" / "tests"


def run(suite: Path, *options: str, side_by_side: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """The suite bare, and the suite patched."""
    reports = suite.parent / "bare.json", suite.parent / "patched.json"
    # The same plugins for everybody: none.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    module = [sys.executable, "-m", "tests.peers.run_netmiko_suite", str(suite)]
    running = []
    for report, patched in zip(reports, ((), ("--patched",)), strict=True):
        report.unlink(missing_ok=True)
        with report.with_suffix(".log").open("w") as output:
            command = [*module, str(report), *patched, "-q", *options]
            running.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output))
        if not side_by_side:
            running[-1].wait()
    for process in running:
        process.wait()
    for report in reports:
        assert report.exists(), report.with_suffix(".log").read_text()[-4000:]
    bare, patched_report = (json.loads(report.read_text()) for report in reports)
    return bare, patched_report


def check(bare: dict[str, Any], patched: dict[str, Any]) -> None:
    assert patched["outcomes"] == bare["outcomes"]
    assert patched["exit_code"] == bare["exit_code"]
    assert patched["failures"] == 0
    counts = patched["counts"]
    assert counts["session.start"] == counts["session.end"] == patched["sessions"]
    assert counts["device.command.sent"] == patched["answered"] + patched["failed"]


def test_the_unit_tests_of_netmiko_come_to_the_same(suite: Path) -> None:
    bare, patched = run(suite, "unit", "test_import_netmiko.py")
    check(bare, patched)
    assert len(bare["outcomes"]) > 140
    assert patched["sessions"] > 0


def describe(suite: Path, device: dict[str, Any], commands: dict[str, Any], responses: dict[str, Any]) -> None:
    """Say what the live tests need to know of a device, as JSON, which is YAML."""
    kind = device["device_type"]
    for name, content in (("test_devices", device), ("commands", commands), ("responses", responses)):
        (suite / "etc" / f"{name}.yml").write_text(json.dumps({kind: content}))


def test_the_live_tests_of_netmiko_come_to_the_same_with_a_shell(suite: Path) -> None:
    with kit.directory() as home, kit.sshd(home) as parameters:
        host = os.uname().nodename
        describe(
            suite,
            {**parameters, "device_type": "linux"},
            {
                "version": "uname -a",
                "basic": "echo 127.0.0.1",
                "extended_output": "seq 200",
                "wide_command": "echo a; echo b",
            },
            {
                "base_prompt": f"root@{host}:~",
                "router_prompt": f"root@{host}:~#",
                "enable_prompt": f"root@{host}:~#",
                "interface_ip": "127.0.0.1",
                "version_banner": "Linux",
                "multiple_line_output": "200",
            },
        )
        bare, patched = run(suite, "test_netmiko_show.py", "--test_device", "linux")
    check(bare, patched)
    assert sum(outcome == "call passed" for each in bare["outcomes"].values() for outcome in each) >= 10
    assert patched["counts"]["session.established"] >= 3
    assert patched["answered"] > 5


def test_the_live_tests_of_netmiko_come_to_the_same_with_a_router(suite: Path) -> None:
    with kit.directory() as home, kit.frr(home) as command, kit.sshd(home, command) as parameters:
        host = os.uname().nodename
        describe(
            suite,
            {**parameters, "device_type": "cisco_ios"},
            {
                "version": "show version",
                "basic": "show interface brief",
                "extended_output": "show version",
                "config": ["log syslog", "no log syslog", "log record-priority"],
                "config_verification": "show running-config",
                "config_file": "cisco_ios_commands.txt",
            },
            {
                "base_prompt": host,
                "router_prompt": f"{host}>",
                "enable_prompt": f"{host}#",
                "interface_ip": "lo",
                "version_banner": "FRRouting",
                "multiple_line_output": "configured with",
                "file_check_cmd": "nothing",
            },
        )
        show = run(suite, "test_netmiko_show.py", "--test_device", "cisco_ios")
        configure = run(suite, "test_netmiko_config.py", "--test_device", "cisco_ios", side_by_side=False)
    for bare, patched in (show, configure):
        check(bare, patched)
    assert sum(outcome == "call passed" for each in show[0]["outcomes"].values() for outcome in each) >= 10
    assert sum(outcome == "call passed" for each in configure[0]["outcomes"].values() for outcome in each) >= 4
