"""Sessions of netmiko with OpenSSH's server, and with FRR over SSH, Telnet and a serial line (as root)."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sessionspan import settings
from sessionspan.testing import Recorder
from sessionspan_netmiko import NetmikoInstrumentor
from tests.canary import found_in
from tests.instrumentation import kit_hosts as kit

netmiko: Any = importlib.import_module("netmiko")

pytestmark = pytest.mark.peer

NEIGHBOUR: str = "neighbour-password-9174"
TELNET = ("netops", "telnet-password-4410")


@pytest.fixture(autouse=True)
def instrumented(recorder: Recorder) -> Iterator[None]:
    NetmikoInstrumentor().instrument(
        tracer_provider=recorder.tracer_provider, logger_provider=recorder.logger_provider
    )
    yield
    NetmikoInstrumentor().uninstrument()


@pytest.fixture(scope="module")
def linux() -> Iterator[dict[str, Any]]:
    with kit.directory() as home, kit.sshd(home) as parameters:
        yield {**parameters, "device_type": "linux"}


@pytest.fixture(scope="module")
def vtysh() -> Iterator[str]:
    with kit.directory() as home, kit.frr(home) as command:
        yield command


@pytest.fixture(scope="module")
def router(vtysh: str) -> Iterator[dict[str, Any]]:
    with kit.directory() as home, kit.sshd(home, vtysh) as parameters:
        yield {**parameters, "device_type": "cisco_ios"}


def facts(recorder: Recorder) -> dict[str, Any]:
    return dict(recorder.wait_for_session().attributes or {})


def texts(recorder: Recorder, name: str) -> list[Any]:
    return [event.attributes.get("sessionspan.command.text") for event in recorder.named(f"device.{name}")]


def test_a_session_with_a_shell(recorder: Recorder, linux: dict[str, Any]) -> None:
    with netmiko.ConnectHandler(**linux) as connection:
        assert "uid=0(root)" in connection.send_command("id")
        connection.send_command("cd /tmp", expect_string=r"[#$] ?$")  # the prompt is another one from here on
        assert "/tmp" in connection.send_command("pwd", expect_string=r"[#$] ?$")
    assert texts(recorder, "command.sent") == texts(recorder, "command.response") == ["id", "cd /tmp", "pwd"]
    assert recorder.named("device.dialog") == []
    login = recorder.named("auth.success")[0]
    assert (login["user.name"], login["sessionspan.auth.mechanism"]) == ("root", "publickey")
    found = facts(recorder)
    assert (found["sessionspan.device.type"], found["sessionspan.end_reason"]) == ("linux", "quit")
    assert found["client_ip"] == "127.0.0.1"


def test_a_password_that_a_shell_asks_for_is_told_by_its_length(recorder: Recorder, linux: dict[str, Any]) -> None:
    os.environ["SESSIONSPAN_CAPTURE"] = "content"
    settings.reload()
    with netmiko.ConnectHandler(**linux) as connection:
        connection.send_command("read -s -p 'Password: ' x", expect_string="Password: ", cmd_verify=False)
        connection.send_command("shell-secret-6206", expect_string=r"[#$] ?$", cmd_verify=False)
    (dialog,) = recorder.named("device.dialog")
    assert dialog["sessionspan.input.size"] == len("shell-secret-6206")
    assert found_in(recorder.everything().encode(), [b"shell-secret-6206"]) == []


def test_ten_megabytes_are_counted(recorder: Recorder, linux: dict[str, Any]) -> None:
    with netmiko.ConnectHandler(**linux) as connection:
        output = connection.send_command("head -c 10000000 /dev/zero | tr '\\0' x | fold", read_timeout=60)
    assert len(output) > 10_000_000
    assert recorder.named("device.command.response")[0]["sessionspan.response.size"] > 10_000_000


def test_a_file_is_copied_within_the_session(recorder: Recorder, linux: dict[str, Any], tmp_path: Path) -> None:
    source = tmp_path / "config.txt"
    source.write_text("x" * 1000)
    target = tmp_path / "there"
    target.mkdir()
    with netmiko.ConnectHandler(**linux) as connection:
        done = netmiko.file_transfer(
            connection, str(source), "copy.txt", file_system=str(target), overwrite_file=True
        )
    assert done["file_transferred"]
    assert (target / "copy.txt").read_text() == source.read_text()
    (event,) = recorder.named("device.file_transfer")
    assert (event["sessionspan.file.direction"], event["sessionspan.file.size"]) == ("put", 1000)
    assert len(recorder.sessions) == 1


def test_a_server_that_is_killed_within_a_command_is_told_at_once(
    recorder: Recorder, linux: dict[str, Any]
) -> None:
    connection = netmiko.ConnectHandler(**linux)
    parent = int(connection.send_command("ps -o ppid= -p $$"))

    def wait() -> None:
        with pytest.raises(netmiko.ReadException):
            connection.send_command("sleep 60", read_timeout=4)

    waiting = threading.Thread(target=wait)
    waiting.start()
    recorder.wait_until(lambda: len(recorder.named("device.command.sent")) == 2, "second command")
    os.kill(parent, signal.SIGKILL)  # the server's process of this connection
    failure = recorder.wait_for_event("device.command.failure", 3)
    assert waiting.is_alive()
    assert failure["error.type"] == "connection_closed"
    waiting.join()
    connection.disconnect()
    assert facts(recorder)["error.type"] == "connection_closed"


def test_a_router_is_asked_configured_and_saved(recorder: Recorder, router: dict[str, Any]) -> None:
    os.environ["SESSIONSPAN_CAPTURE"] = "content"
    settings.reload()
    lines = ["router bgp 65000", "neighbor 192.0.2.1 remote-as 65001", f"neighbor 192.0.2.1 password {NEIGHBOUR}"]
    with netmiko.ConnectHandler(**router) as connection:
        assert "FRRouting" in connection.send_command("show version")
        connection.send_config_set(lines)
        assert NEIGHBOUR in connection.send_command("show running-config")
        with pytest.raises(netmiko.ConfigInvalidException):
            connection.send_config_set(["no such thing"], error_pattern="Unknown command")
        connection.send_config_set(["no router bgp 65000"])
    assert texts(recorder, "command.response") == ["show version", "show running-config"]
    first, last = recorder.named("device.config.set")
    assert "router bgp 65000" in first["sessionspan.command.text"]
    assert last["sessionspan.command.text"] == "no router bgp 65000"
    (failure,) = recorder.named("device.command.failure")
    assert failure["error.type"] == "netmiko.exceptions.ConfigInvalidException"
    shown = recorder.named("device.command.response")[1]["sessionspan.response.text"]
    assert "neighbor 192.0.2.1 remote-as 65001" in shown
    assert found_in(recorder.everything().encode(), [NEIGHBOUR.encode()]) == []


def test_a_router_over_telnet(recorder: Recorder, vtysh: str) -> None:
    with kit.directory() as home, kit.telnetd(home, vtysh, *TELNET) as parameters:
        with netmiko.ConnectHandler(device_type="cisco_ios_telnet", **parameters) as connection:
            assert "FRRouting" in connection.send_command("show version")
    found = facts(recorder)
    assert (found["protocol"], found["network.protocol.name"]) == ("TELNET", "telnet")
    assert (found["server.address"], found["server.port"]) == ("127.0.0.1", parameters["port"])
    assert (found["client_ip"], found["username"]) == ("127.0.0.1", TELNET[0])
    assert texts(recorder, "command.response") == ["show version"]
    assert found_in(recorder.everything().encode(), [TELNET[1].encode()]) == []


def test_a_wrong_password_over_telnet_is_a_failed_login(
    recorder: Recorder, vtysh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base: Any = importlib.import_module("netmiko.base_connection")
    sleep = base.time.sleep
    monkeypatch.setattr(base.time, "sleep", lambda seconds: sleep(min(seconds, 0.2)))  # it tries twenty times
    with kit.directory() as home, kit.telnetd(home, vtysh, *TELNET) as parameters:
        parameters["password"] = "wrong-password-0003"
        with pytest.raises(netmiko.NetmikoAuthenticationException):
            netmiko.ConnectHandler(device_type="cisco_ios_telnet", **parameters)
    found = facts(recorder)
    assert found["sessionspan.end_reason"] == "auth_failed"
    assert "user.name" not in found
    assert recorder.named("auth.failure")[0]["error.type"] == "invalid_credentials"
    assert found_in(recorder.everything().encode(), [b"wrong-password-0003"]) == []


def test_a_refused_telnet_connection_says_so(recorder: Recorder) -> None:
    with pytest.raises(ConnectionRefusedError):
        netmiko.ConnectHandler(device_type="cisco_ios_telnet", host="127.0.0.1", port=kit.free_port())
    found = facts(recorder)
    assert (found["sessionspan.end_reason"], found["error.type"]) == ("connect_failed", "ConnectionRefusedError")


def test_ssh_that_falls_back_to_telnet_is_two_sessions(recorder: Recorder, vtysh: str) -> None:
    with kit.directory() as home, kit.telnetd(home, vtysh, *TELNET) as parameters:
        netmiko.TelnetFallback(device_type="cisco_ios", banner_timeout=1, **parameters).disconnect()
    first, second = recorder.wait_for_sessions(2)
    assert (first.attributes or {})["sessionspan.end_reason"] == "connect_failed"
    assert (second.attributes or {})["protocol"] == "TELNET"


def test_a_router_over_a_serial_line(recorder: Recorder, vtysh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with kit.directory() as home, kit.serial_line(home, vtysh, monkeypatch) as parameters:
        with netmiko.ConnectHandler(device_type="cisco_ios_serial", **parameters) as connection:
            assert "FRRouting" in connection.send_command("show version")
    found = facts(recorder)
    assert found["protocol"] == "SERIAL"
    assert found["server.address"].endswith("ttyS0")
    assert not {"server.port", "client_ip", "username", "network.protocol.name", "network.peer.address"} & set(
        found
    )
    assert texts(recorder, "command.response") == ["show version"]


def test_what_the_kit_starts_is_gone_afterwards() -> None:
    with kit.directory() as home, kit.running("sleep", "60") as process:
        assert home.exists()
    assert process.returncode is not None
    assert not home.exists()
    assert subprocess.run(["ps", "-p", str(process.pid)], capture_output=True).returncode == 1
