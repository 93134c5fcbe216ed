"""Sessions of netmiko with a device that speaks SSH: one span each, whatever happens to it."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

import sessionspan
from sessionspan import current_session, live, settings
from sessionspan.testing import RecordedEvent, Recorder
from sessionspan_netmiko import NetmikoInstrumentor
from tests.canary import found_in
from tests.instrumentation import kit_devices as kit

netmiko: Any = importlib.import_module("netmiko")


@pytest.fixture(scope="module")
def device() -> Iterator[kit.Device]:
    with kit.device() as found:
        yield found


@pytest.fixture(autouse=True)
def instrumented(recorder: Recorder, device: kit.Device) -> Iterator[None]:
    device.commands.clear()
    NetmikoInstrumentor().instrument(
        tracer_provider=recorder.tracer_provider,
        logger_provider=recorder.logger_provider,
        meter_provider=recorder.meter_provider,
    )
    yield
    NetmikoInstrumentor().uninstrument()


def connect(device: kit.Device, **changed: Any) -> Any:
    return netmiko.ConnectHandler(**device.parameters(**changed))


def capture(level: str) -> None:
    os.environ["SESSIONSPAN_CAPTURE"] = level
    settings.reload()


def leaks(text: str, secret: str) -> list[bytes]:
    return found_in(text.encode(), [secret.encode()])


def told(recorder: Recorder, session: ReadableSpan | None = None) -> list[str]:
    """The events by name, with what tells most of each."""
    keys = (
        "sessionspan.command.text",
        "error.type",
        "sessionspan.input.size",
        "sessionspan.device.type",
        "user.name",
    )
    found = []
    for event in recorder.events if session is None else recorder.of(session):
        wanted = {
            "device.redispatch": keys[3:4],
            "auth.success": keys[4:],
            "auth.failure": keys[1:2],
            "session.exception": ("exception.type",),
        }.get(event.name, keys[:3])
        values = [str(event.attributes[key]) for key in wanted if key in event.attributes]
        found.append(" ".join([event.name, *values]))
    return found


def facts(recorder: Recorder) -> dict[str, Any]:
    return dict(recorder.wait_for_session().attributes or {})


BEGIN = ["session.start", f"auth.success {kit.USER}", "session.established"]
END = ["auth.end", "session.end"]


# A whole session.


def test_a_session_is_one_span_from_before_the_connection_to_disconnect(
    recorder: Recorder, device: kit.Device
) -> None:
    connection = connect(device)
    output = connection.send_command("show version")
    assert current_session() is None  # only inside of calls
    connection.disconnect()
    connection.disconnect()
    assert "Cisco IOS Software" in output
    span = recorder.wait_for_session()
    assert (span.name, span.kind, span.status.status_code) == ("SSH session", SpanKind.CLIENT, StatusCode.UNSET)
    assert told(recorder) == [
        *BEGIN,
        "device.command.sent show version",
        "device.command.response show version",
        *END,
    ]
    found = facts(recorder)
    assert found["server.address"] == "127.0.0.1"
    assert found["server.port"] == found["network.peer.port"] == device.port
    assert found["client_ip"] == found["network.local.address"] == "127.0.0.1"
    assert (found["protocol"], found["network.protocol.name"]) == ("SSH", "ssh")
    assert found["username"] == kit.USER
    assert found["sessionspan.device.type"] == "cisco_ios"
    assert (found["sessionspan.outcome"], found["sessionspan.end_reason"]) == ("ok", "quit")
    assert (found["sessionspan.command.count"], found["sessionspan.command.failed.count"]) == (1, 0)
    assert found["sessionspan.received.size"] > len(output)
    assert found["sessionspan.sent.size"] > len("show version")


def test_durations_are_split_into_finding_the_prompt_and_waiting(recorder: Recorder, device: kit.Device) -> None:
    with connect(device) as connection:
        connection.send_command("show version")
        connection.send_command("show version", expect_string=r"rtr1>")
    first, second = recorder.named("device.command.response")
    total, prompt, wait = (
        first[f"sessionspan.command.{part}"] for part in ("duration", "prompt.duration", "wait.duration")
    )
    assert 0 < prompt < total
    assert 0 < wait <= total - prompt
    assert "sessionspan.command.prompt.duration" not in second.attributes
    assert first["sessionspan.command.sequence"] == 1
    assert second["sessionspan.command.sequence"] == 2


def test_all_that_is_done_is_told_once(recorder: Recorder, device: kit.Device) -> None:
    with connect(device) as connection:
        connection.enable()
        connection.enable()  # nothing is done: it is enabled
        connection.send_config_set(["interface Gi0/1", "description uplink"])
        connection.save_config()
        connection.send_config_set("ip routing", exit_config_mode=False)
        connection.exit_config_mode()
        connection.exit_config_mode()  # nothing is done
        connection.send_command_timing("show ip interface brief", last_read=0.2)
        connection.exit_enable_mode()
    assert told(recorder) == [
        *BEGIN,
        "device.config.enable",
        "device.config.set interface Gi0/1\\ndescription uplink",
        "device.config.save",
        "device.config.set ip routing",
        "device.command.sent end",
        "device.command.response end",
        "device.command.sent show ip interface brief",
        "device.command.response show ip interface brief",
        "device.command.sent disable",
        "device.command.response disable",
        *END,
    ]
    names = {event["sessionspan.command.name"] for event in recorder.events if event.name.startswith("device.")}
    assert names == {"ENABLE", "CONFIG", "SAVE", "COMMAND"}
    sequences = [event["sessionspan.command.sequence"] for event in recorder.events if "device." in event.name]
    assert sequences == [1, 2, 3, 4, 5, 5, 6, 6, 7, 7]
    assert facts(recorder)["sessionspan.command.count"] == 7


LINES = ["interface Gi0/1", "description uplink"]


@pytest.mark.parametrize(
    "make",
    [lambda: LINES, lambda: (line for line in LINES), lambda: iter(LINES), lambda: StringIO("\n".join(LINES))],
    ids=["list", "generator", "iterator", "file"],
)
def test_a_configuration_from_any_iterable_goes_to_the_device_as_without_us(
    recorder: Recorder, device: kit.Device, make: Any
) -> None:
    def configure() -> list[str]:
        device.commands.clear()
        with connect(device) as connection:
            connection.enable()
            connection.send_config_set(make())
        return [command for command in device.commands if command in LINES]

    patched = configure()
    NetmikoInstrumentor().uninstrument()
    assert configure() == patched
    NetmikoInstrumentor().instrument()
    if patched:  # netmiko 4.0 itself sends nothing of a generator
        (event,) = recorder.named("device.config.set")
        assert event["sessionspan.command.text"] == "\\n".join(LINES)


def test_a_configuration_from_a_file_is_told(recorder: Recorder, device: kit.Device, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("\n".join(LINES))
    with connect(device) as connection:
        connection.enable()
        connection.send_config_from_file(str(file))
    (event,) = recorder.named("device.config.set")
    assert event["sessionspan.command.text"] == "\\n".join(LINES)


def test_a_configuration_that_is_not_checked_is_told_as_far_as_the_device_echoes_it(
    recorder: Recorder, device: kit.Device
) -> None:
    with connect(device) as connection:
        connection.enable()
        connection.send_config_set(["interface Gi0/1", "description uplink"], cmd_verify=False)
        # Nobody looked what the device asked in between.
        connection.send_config_set(["end", "login user", kit.TYPED, "show version"], cmd_verify=False)
    first, second = recorder.named("device.config.set")
    assert first["sessionspan.command.text"] == "interface Gi0/1\\ndescription uplink"
    assert second["sessionspan.command.text"] == "end\\nlogin user\\nshow version"
    assert second["sessionspan.command.truncated"]
    assert leaks(recorder.everything(), kit.TYPED) == []


# How much is told.


def test_at_level_content_the_answer_is_told_without_echo_and_prompt(
    recorder: Recorder, device: kit.Device
) -> None:
    capture("content")
    with connect(device) as connection:
        connection.send_command("show ansi")
    response = recorder.named("device.command.response")[0]
    # A terminal shows it as text: escapes do nothing there.
    assert response["sessionspan.response.text"] == "\\x1b[31mred\\x1b[0m and \\x1b[1mbold\\x1b[0m"


def test_at_level_metadata_there_are_fingerprints_and_no_texts(recorder: Recorder, device: kit.Device) -> None:
    capture("metadata")
    with connect(device) as connection:
        connection.send_command("show ip interface brief")
        connection.enable()
        connection.send_config_set(["interface Gi0/1"])
    for event in recorder.events:
        assert not {key for key in event.attributes if key.endswith((".text", "exception.message"))}
    sent = recorder.named("device.command.sent")[0]
    assert sent["sessionspan.command.fingerprint"].startswith("show ip")
    assert sent["sessionspan.command.size"] == len("show ip interface brief\n")


def test_sessions_that_open_in_a_quiet_block_count_commands_only(recorder: Recorder, device: kit.Device) -> None:
    with sessionspan.capture("off"):
        connection = connect(device)
    connection.send_command("show version")
    connection.disconnect()
    assert told(recorder) == [*BEGIN, *END]
    assert facts(recorder)["sessionspan.command.count"] == 1


def test_a_device_type_can_have_a_level_of_its_own(recorder: Recorder, device: kit.Device) -> None:
    capture("metadata,device:cisco_*=content")
    with connect(device) as connection:
        connection.send_command("show version")
    assert "Cisco IOS" in recorder.named("device.command.response")[0]["sessionspan.response.text"]


def test_an_answer_of_ten_megabytes_is_told_by_its_size_its_head_and_its_tail(
    recorder: Recorder, device: kit.Device
) -> None:
    capture("content")
    with connect(device) as connection:
        output = connection.send_command("show big", read_timeout=60)
    assert len(output) > kit.BIG * 0.95
    response = recorder.named("device.command.response")[0]
    assert response["sessionspan.response.size"] > len(output)
    assert response["sessionspan.response.truncated"]
    text = response["sessionspan.response.text"]
    assert text.startswith("GigabitEthernet0/0/0 is up")
    assert text.endswith("sixty-four characters")
    assert len(text) < 4400


# Questions of the device.


def test_an_answer_to_a_question_is_told_by_its_length_only(recorder: Recorder, device: kit.Device) -> None:
    capture("content")
    with connect(device) as connection:
        connection.send_multiline(
            [["copy running-config tftp:", "remote host"], ["tftp-server-name", "filename"], ["", ""]]
        )
        connection.send_command("set password", expect_string="password")
        connection.send_command(kit.TYPED, expect_string=">")
        connection.send_command_timing("login user", last_read=0.2)
        connection.write_channel(f"{kit.TYPED}\n")
        connection.read_until_prompt()
        connection.send_command_timing("clear counters", last_read=0.2)
        connection.send_command_timing("", last_read=0.2)
        connection.send_command("show version")
    assert "tftp-server-name" not in recorder.named("device.dialog")[0].attributes.values()
    device_events = [line for line in told(recorder) if line.startswith("device.")]
    assert device_events == [
        "device.command.sent copy running-config tftp:",
        "device.command.response copy running-config tftp:",
        f"device.dialog {len('tftp-server-name')}",
        "device.dialog 0",
        "device.command.sent set password",
        "device.command.response set password",
        f"device.dialog {len(kit.TYPED)}",
        "device.command.sent login user",
        "device.command.response login user",
        f"device.dialog {len(kit.TYPED)}",
        "device.command.sent clear counters",
        "device.command.response clear counters",
        "device.dialog 0",
        "device.command.sent show version",
        "device.command.response show version",
    ]
    # What the device echoes by itself is its answer, at level content; what it does not echo is nowhere.
    spoken = [event for event in recorder.events if "sessionspan.response.text" not in event.attributes]
    assert leaks(repr([(event.body, event.attributes) for event in spoken]), kit.TYPED) == []


def test_paging_is_part_of_the_command(recorder: Recorder, device: kit.Device) -> None:
    with connect(device) as connection:
        connection.send_command("show paging", expect_string="More")
        connection.send_command("x", expect_string="More", cmd_verify=False)
        connection.send_command("x", expect_string=">", cmd_verify=False)
    assert [line for line in told(recorder) if "device." in line] == [
        "device.command.sent show paging",
        "device.command.response show paging",
        "device.dialog 1",
        "device.dialog 1",
    ]


# What goes wrong.


def failure(recorder: Recorder) -> RecordedEvent:
    (found,) = recorder.named("device.command.failure")
    return found


def test_a_time_out_is_a_failed_command_and_the_session_goes_on(recorder: Recorder, device: kit.Device) -> None:
    with connect(device) as connection:
        with pytest.raises(netmiko.ReadTimeout):
            connection.send_command("show hang", read_timeout=0.5)
    found = failure(recorder)
    assert found["error.type"] == "netmiko.exceptions.ReadTimeout"
    assert found["sessionspan.command.text"] == "show hang"
    assert found["exception.message"].startswith("Pattern not detected: ")
    assert found.severity.name == "WARN"  # type: ignore[union-attr]
    span = recorder.wait_for_session()
    # The application caught it: that is no failure of the session.
    assert span.status.status_code is StatusCode.UNSET
    assert (span.attributes or {})["sessionspan.command.failed.count"] == 1


def test_an_exception_that_leaves_the_block_is_a_failed_session(recorder: Recorder, device: kit.Device) -> None:
    with pytest.raises(netmiko.ReadTimeout):
        with connect(device) as connection:
            connection.send_command("show hang", read_timeout=0.5)
    span = recorder.wait_for_session()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "netmiko.exceptions.ReadTimeout"
    assert (span.attributes or {})["sessionspan.end_reason"] == "handler_error"


def test_an_invalid_configuration_is_a_failure_of_its_own_kind(recorder: Recorder, device: kit.Device) -> None:
    with connect(device) as connection:
        connection.enable()
        with pytest.raises(netmiko.ConfigInvalidException):
            connection.send_config_set(["interface Gi0/1", "bad line"], error_pattern="Invalid input")
    found = failure(recorder)
    assert found["sessionspan.command.name"] == "CONFIG"
    assert found["sessionspan.command.text"] == "interface Gi0/1\\nbad line"
    assert recorder.named("device.config.set") == []


def test_a_wrong_enable_secret_is_a_failure_without_the_secret(recorder: Recorder, device: kit.Device) -> None:
    capture("content")
    with connect(device, secret="wrong-secret-0001") as connection:
        with pytest.raises(ValueError, match="Failed to enter enable mode"):
            connection.enable()
    assert failure(recorder)["sessionspan.command.name"] == "ENABLE"
    assert leaks(recorder.everything(), "wrong-secret-0001") == []


@pytest.mark.parametrize(("command", "reason"), [("die", "peer_eof"), ("leave", "peer_eof")])
def test_a_connection_that_the_device_closes_within_a_command_is_told_at_once(
    recorder: Recorder, device: kit.Device, command: str, reason: str
) -> None:
    connection = connect(device)
    waiting = threading.Thread(target=lambda: _swallow(connection, command))
    waiting.start()
    found = recorder.wait_for_event("device.command.failure", 5)
    assert waiting.is_alive()  # netmiko waits on, for its whole time-out
    assert found["error.type"] == "connection_closed"
    assert found["sessionspan.command.text"] == command
    waiting.join(10)
    connection.disconnect()
    assert len(recorder.named("device.command.failure")) == 1
    span = recorder.wait_for_session()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "the connection was lost")
    attributes = span.attributes or {}
    assert attributes["error.type"] == "connection_closed"
    # The connection was lost, whatever the application does about it afterwards.
    assert attributes["sessionspan.outcome"] == "error"


def _swallow(connection: Any, command: str) -> None:
    with pytest.raises(netmiko.ReadException):
        connection.send_command(command, read_timeout=3, cmd_verify=False)


def test_a_dead_connection_fails_the_next_command(recorder: Recorder, device: kit.Device) -> None:
    connection = connect(device)
    connection.remote_conn_pre.close()
    with pytest.raises(OSError, match="Socket is closed"):
        connection.send_command("show version")
    connection.disconnect()
    assert failure(recorder)["error.type"] == "OSError"
    assert recorder.wait_for_session().status.description == "the connection was lost"


# A connection that never comes about.


def fails_to_connect(device: kit.Device, expected: Any, **changed: Any) -> BaseException:
    with pytest.raises(expected) as caught:
        connect(device, **changed)
    error: BaseException = caught.value
    return error


def check_failed(recorder: Recorder, reason: str, *error_types: str) -> RecordedEvent:
    span = recorder.wait_for_session()
    attributes = span.attributes or {}
    assert span.status.status_code is StatusCode.ERROR
    assert attributes["sessionspan.outcome"] == "error"
    assert attributes["sessionspan.end_reason"] == reason
    assert attributes["error.type"] in error_types
    assert recorder.named("session.established") == []
    exception = recorder.named("session.exception")[0]
    assert exception["exception.type"] == attributes["error.type"]
    assert live.open_sessions() == []
    return exception


def test_a_wrong_password_is_a_failed_login_without_the_password(recorder: Recorder, device: kit.Device) -> None:
    fails_to_connect(device, netmiko.NetmikoAuthenticationException, password="wrong-password-0002")
    exception = check_failed(recorder, "auth_failed", "paramiko.ssh_exception.AuthenticationException")
    assert exception["exception.message"] == "Authentication failed."
    assert told(recorder) == [
        "session.start",
        "auth.failure invalid_credentials",
        "session.exception paramiko.ssh_exception.AuthenticationException",
        "session.end paramiko.ssh_exception.AuthenticationException",
    ]
    assert recorder.named("auth.failure")[0]["sessionspan.auth.user.name"] == kit.USER
    assert "user.name" not in (recorder.sessions[0].attributes or {})
    assert leaks(recorder.everything(), "wrong-password-0002") == []


def test_a_refused_connection_says_so(recorder: Recorder, device: kit.Device) -> None:
    fails_to_connect(device, netmiko.NetmikoTimeoutException, port=kit.refused())
    exception = check_failed(recorder, "connect_failed", "ConnectionRefusedError")
    assert "Connection refused" in exception["exception.message"]


def test_a_name_that_is_not_known_says_so(recorder: Recorder, device: kit.Device) -> None:
    fails_to_connect(device, netmiko.NetmikoTimeoutException, host="no-such-host.invalid")
    check_failed(recorder, "connect_failed", "socket.gaierror")
    assert facts(recorder)["server.address"] == "no-such-host.invalid"


@pytest.mark.parametrize(
    ("talks", "error_types"),
    [
        (kit.silent, ("TimeoutError",)),
        # Which one the kernel tells depends on who was quicker.
        (kit.junk, ("EOFError", "ConnectionResetError")),
        (kit.resets, ("EOFError", "ConnectionResetError")),
    ],
    ids=["silent", "junk", "resetting"],
)
def test_a_port_that_speaks_no_ssh_says_why(
    recorder: Recorder, device: kit.Device, talks: Any, error_types: tuple[str, ...]
) -> None:
    with kit.port(talks) as port:
        # Older versions let some of paramiko's exceptions through.
        fails_to_connect(
            device, (netmiko.NetmikoTimeoutException, OSError, EOFError), port=port, banner_timeout=0.5
        )
    exception = check_failed(recorder, "connect_failed", *error_types)
    assert "A paramiko SSHException occurred" not in exception["exception.message"]


def test_what_the_application_was_handling_is_not_the_cause(recorder: Recorder, device: kit.Device) -> None:
    try:
        raise KeyError("the first device")
    except KeyError:
        fails_to_connect(device, netmiko.NetmikoTimeoutException, port=kit.refused())
    check_failed(recorder, "connect_failed", "ConnectionRefusedError")


def test_a_session_that_cannot_be_prepared_has_failed_to_connect(recorder: Recorder, device: kit.Device) -> None:
    class Unprepared(netmiko.cisco.CiscoIosSSH):  # type: ignore[misc]
        def session_preparation(self) -> None:
            raise netmiko.ReadTimeout("never")

    with pytest.raises(netmiko.ReadTimeout):
        Unprepared(**device.parameters())
    check_failed(recorder, "connect_failed", "netmiko.exceptions.ReadTimeout")
    assert told(recorder)[:2] == BEGIN[:2]  # the login was accepted


def test_a_connection_that_was_interrupted_is_no_error(
    recorder: Recorder, device: kit.Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(netmiko.cisco.CiscoIosSSH, "session_preparation", interrupted)
    with pytest.raises(KeyboardInterrupt):
        connect(device)
    found = facts(recorder)
    assert (found["sessionspan.outcome"], found["sessionspan.end_reason"]) == ("ok", "local_close")


# Ways to open, to go on, to end.


def test_reconnecting_is_another_session(recorder: Recorder, device: kit.Device) -> None:
    connection = connect(device)
    connection.disconnect()
    connection.establish_connection()
    connection.session_preparation()
    connection.send_command("show version")
    connection.disconnect()
    first, second = recorder.wait_for_sessions(2)
    assert told(recorder, first) == [*BEGIN, *END]
    assert told(recorder, second)[: len(BEGIN)] == BEGIN
    assert "device.command.sent show version" in told(recorder, second)


def test_reconnecting_without_disconnecting_ends_the_session_before(
    recorder: Recorder, device: kit.Device
) -> None:
    connection = connect(device)
    connection.establish_connection()
    connection.disconnect()
    reasons = [(span.attributes or {})["sessionspan.end_reason"] for span in recorder.wait_for_sessions(2)]
    assert reasons == ["reconnected", "quit"]


def test_redispatch_goes_on_in_the_session(recorder: Recorder, device: kit.Device) -> None:
    connection = connect(device, device_type="terminal_server")
    netmiko.redispatch(connection, "cisco_ios")
    connection.send_command("show version")
    netmiko.redispatch(connection, "cisco_xe", session_prep=False)
    connection.send_command("show version")
    connection.disconnect()
    assert [line for line in told(recorder) if "redispatch" in line] == [
        "device.redispatch cisco_ios",
        "device.redispatch cisco_xe",
    ]
    assert facts(recorder)["sessionspan.device.type"] == "cisco_xe"
    assert recorder.named("session.start")[0]["sessionspan.device.type"] == "terminal_server"


def test_a_device_type_is_found_out_in_one_session(
    recorder: Recorder, device: kit.Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect = importlib.import_module("netmiko.ssh_autodetect")
    monkeypatch.setattr(detect.time, "sleep", _short_sleep)
    assert netmiko.SSHDetect(**device.parameters(device_type="autodetect")).autodetect() == "cisco_ios"
    lines = told(recorder)
    assert "device.command.sent show version" in lines
    assert lines[0] == "session.start"
    assert lines[-1] == "session.end"
    assert len(recorder.wait_for_sessions()) == 1


_sleep = importlib.import_module("time").sleep


def _short_sleep(seconds: float) -> None:
    _sleep(min(seconds, 0.3))


def test_every_way_to_a_connection_is_one_session(recorder: Recorder, device: kit.Device, tmp_path: Path) -> None:
    logged = str(tmp_path / "netmiko.log")
    for open_it in (
        netmiko.ConnectHandler,
        netmiko.Netmiko,
        netmiko.ConnUnify,
        lambda **given: netmiko.ConnLogOnly(log_file=logged, **given),
        netmiko.cisco.CiscoIosSSH,
        lambda **given: netmiko.ssh_dispatcher("cisco_ios")(**given),
    ):
        open_it(**device.parameters()).disconnect()
    assert len(recorder.wait_for_sessions(6)) == 6
    assert netmiko.ConnLogOnly(log_file=logged, **device.parameters(port=kit.refused())) is None
    with pytest.raises(netmiko.ConnectionException):
        netmiko.ConnUnify(**device.parameters(port=kit.refused()))
    reasons = [(span.attributes or {})["sessionspan.end_reason"] for span in recorder.wait_for_sessions(8)]
    assert reasons == ["quit"] * 6 + ["connect_failed"] * 2


def test_a_connection_that_nobody_holds_ends_as_garbage_collected(recorder: Recorder, device: kit.Device) -> None:
    connection = connect(device)
    transport = connection.remote_conn_pre
    del connection
    gc.collect()
    live.end_orphans()
    transport.close()
    assert facts(recorder)["sessionspan.end_reason"] == "garbage_collected"


PROGRAM = """
import os, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from sessionspan_netmiko import NetmikoInstrumentor
NetmikoInstrumentor().instrument()
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(
    formatter=lambda s: f"{{os.getpid()}} {{s.attributes['sessionspan.end_reason']}}\\n")))
from netmiko import ConnectHandler
connection = ConnectHandler(**{parameters!r})
{then}
"""


def run_program(device: kit.Device, then: str) -> list[str]:
    code = PROGRAM.format(parameters=device.parameters(), then=then)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_session_that_is_open_at_exit_is_exported(device: kit.Device) -> None:
    _, reason = run_program(device, "")
    assert reason == "process_exit"


def test_a_forked_child_does_not_end_its_parents_session(device: kit.Device) -> None:
    then = (
        "child = os.fork()\n"
        "if child: os.waitpid(child, 0); print(os.getpid(), flush=True); connection.disconnect()"
    )
    parent, exported_by, reason = run_program(device, then)
    assert (exported_by, reason) == (parent, "quit")


def test_nothing_is_recorded_where_instrumentation_is_suppressed(recorder: Recorder, device: kit.Device) -> None:
    with suppress_instrumentation(), connect(device) as connection:
        connection.send_command("show version")
    assert (recorder.spans, recorder.events) == ([], [])


def test_a_session_is_a_child_of_the_span_in_which_it_is_opened(recorder: Recorder, device: kit.Device) -> None:
    with recorder.tracer_provider.get_tracer("app").start_as_current_span("job") as job:
        connect(device).disconnect()
    session = recorder.wait_for_session()
    assert session.parent is not None
    assert session.parent.span_id == job.get_span_context().span_id


def test_what_netmiko_does_inside_a_call_is_of_the_session(
    recorder: Recorder, device: kit.Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def looks(self: Any, data: str) -> str:
        seen.append(current_session())
        return data

    monkeypatch.setattr(netmiko.BaseConnection, "normalize_linefeeds", looks)
    with connect(device) as connection:
        seen.clear()
        connection.send_command("show version", expect_string=">")
    assert {session is not None and session.protocol for session in seen} == {"SSH"}


# Classes.


def class_dicts() -> dict[type, dict[str, Any]]:
    found, waiting = {}, [netmiko.BaseConnection]
    scp: Any = importlib.import_module("netmiko.scp_handler")
    waiting.append(scp.BaseFileTransfer)
    while waiting:
        cls = waiting.pop()
        found[cls] = {name: value for name, value in vars(cls).items() if not name.startswith("__abc")}
        waiting += cls.__subclasses__()
    return found


def test_uninstrument_leaves_every_class_exactly_as_it_was(recorder: Recorder) -> None:
    NetmikoInstrumentor().uninstrument()
    before = class_dicts()
    NetmikoInstrumentor().instrument()
    during = class_dicts()
    changed = [cls for cls in before if before[cls] != during[cls]]
    NetmikoInstrumentor().uninstrument()
    assert class_dicts() == before
    assert len(before) > 150  # netmiko 4.0 has 124 classes of devices, 4.8 has 202
    assert len(changed) > 50
    NetmikoInstrumentor().instrument()


METHODS = (
    *("send_command", "send_command_timing", "send_config_set", "commit", "save_config", "enable"),
    *("exit_enable_mode", "config_mode", "exit_config_mode", "find_prompt", "read_channel", "write_channel"),
    *("_open", "establish_connection", "_try_session_preparation", "disconnect"),
)


def test_every_class_of_netmiko_is_listened_to_whatever_it_overrides() -> None:
    dispatcher: Any = importlib.import_module("netmiko.ssh_dispatcher")
    classes = set(dispatcher.CLASS_MAPPER.values())
    assert len(classes) > 100
    missed = [
        f"{cls.__name__}.{name}"
        for cls in classes
        for name in METHODS
        # What says that a device has no such thing does nothing.
        if not _reaches_ours(cls, name) and owner_of(cls, name).__name__ not in ("NoEnable", "NoConfig")
    ]
    assert missed == []


def owner_of(cls: Any, name: str) -> Any:
    return next(each for each in cls.__mro__ if name in vars(each))


def _reaches_ours(cls: Any, name: str) -> bool:
    """Whether the method is one of our wrappers; those that only prepare a connection call the base's."""
    function = vars(owner_of(cls, name))[name]
    ours = function.__code__.co_filename.endswith("sessionspan/wrappers.py")
    return ours or (name in ("establish_connection", "_try_session_preparation") and "super" in _names(function))


def _names(function: Any) -> tuple[str, ...]:
    names: tuple[str, ...] = function.__code__.co_names
    return names


def test_a_class_that_is_defined_later_is_listened_to_and_forgotten(
    recorder: Recorder, device: kit.Device
) -> None:
    class Mine(netmiko.cisco.CiscoIosSSH):  # type: ignore[misc]
        def send_config_set(self, config_commands: Any = None, **kwargs: Any) -> str:
            """A driver of somebody's own that does it without super."""
            self.config_mode()
            for line in config_commands:
                self.write_channel(f"{line}\n")
                self.read_until_prompt()
            return str(self.exit_config_mode())

        def save_config(self, *args: Any, **kwargs: Any) -> str:
            return str(super().save_config(*args, **kwargs))

    with Mine(**device.parameters()) as connection:
        connection.enable()
        connection.send_config_set(["interface Gi0/1"])
        connection.save_config()
    assert [line for line in told(recorder) if "config." in line] == [
        "device.config.enable",
        "device.config.set interface Gi0/1",
        "device.config.save",
    ]
    patched = vars(Mine)["send_config_set"]
    NetmikoInstrumentor().uninstrument()
    assert vars(Mine)["send_config_set"] is patched.__wrapped__
    NetmikoInstrumentor().instrument()


def test_a_class_with_a_hook_of_its_own_for_subclasses_keeps_it() -> None:
    made = []

    class Registered(netmiko.BaseConnection):  # type: ignore[misc]
        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__()
            made.append((cls.__name__, kwargs))

    class Child(Registered, vendor="acme"):
        def commit(self) -> str:
            return ""

    assert made == [("Child", {"vendor": "acme"})]
    assert hasattr(vars(Child)["commit"], "__wrapped__")


# Files.


def test_a_file_over_scp_is_one_event(recorder: Recorder, device: kit.Device, tmp_path: Path) -> None:
    scp: Any = importlib.import_module("netmiko.scp_handler")
    file = tmp_path / "ios.bin"
    file.write_bytes(b"x" * 1000)
    copied = []

    class SCP:
        def put(self, source: str, destination: str) -> None:
            copied.append((source, destination))

    class WithoutServer(scp.SCPConn):  # type: ignore[misc]
        def establish_scp_conn(self) -> None:
            self.scp_client, self.scp_conn = SCP(), self

        def close(self) -> None: ...

    class Transfer(scp.BaseFileTransfer):  # type: ignore[misc]
        def establish_scp_conn(self) -> None:
            self.scp_conn = WithoutServer(self.ssh_ctl_chan)

    with connect(device) as connection:
        with Transfer(connection, str(file), "ios.bin", file_system="flash:") as transfer:
            transfer.transfer_file()
        WithoutServer(connection).scp_put_file(str(file), "flash:b")
    assert copied == [(str(file), "flash:/ios.bin"), (str(file), "flash:b")]
    first, second = recorder.named("device.file_transfer")
    assert first["sessionspan.file.direction"] == "put"
    assert first["sessionspan.file.source"] == str(file)
    assert first["sessionspan.file.destination"] == "ios.bin"
    assert first["sessionspan.file.size"] == 1000
    assert second["sessionspan.file.destination"] == "flash:b"


# Many at once.


def test_sixty_sessions_on_twenty_threads_are_not_mixed(recorder: Recorder, device: kit.Device) -> None:
    def talk(number: int) -> None:
        with sessionspan.operation("poll", device_id=number), connect(device) as connection:
            for step in range(3):
                connection.send_command(f"show interface {number} {step}", expect_string=">")

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(talk, range(60)))
    sessions = recorder.wait_for_sessions(60)
    assert len(sessions) == 60
    for session in sessions:
        events = recorder.of(session)
        (number,) = {event["sessionspan.operation.device.id"] for event in events}
        texts = [e["sessionspan.command.text"] for e in events if e.name == "device.command.sent"]
        assert texts == [f"show interface {number} {step}" for step in range(3)]
        assert len(events) == len(BEGIN) + 6 + len(END)
    assert live.open_sessions() == []


def test_two_threads_that_share_a_connection_have_a_step_each(recorder: Recorder, device: kit.Device) -> None:
    connection = connect(device)
    slow = threading.Thread(target=lambda: connection.send_command_timing("show slow", last_read=1.5))
    slow.start()
    recorder.wait_for_event("device.command.sent")
    connection.send_command_timing("show version", last_read=0.2)
    slow.join()
    connection.disconnect()
    assert sorted(line for line in told(recorder) if "response" in line) == [
        "device.command.response show slow",
        "device.command.response show version",
    ]


def test_many_failed_connections_leave_nothing_behind(recorder: Recorder, device: kit.Device) -> None:
    port = kit.refused()

    def attempt(count: int) -> int:
        for _ in range(count):
            with pytest.raises(netmiko.NetmikoTimeoutException):
                connect(device, port=port)
            recorder.clear()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    def growth() -> int:
        """Bytes that stay of 1,000 connections, once 200 were tried."""
        tracemalloc.start()
        first, last = attempt(200), attempt(1000)
        tracemalloc.stop()
        return last - first

    attempt(50)
    ours = growth()
    assert live.open_sessions() == []
    NetmikoInstrumentor().uninstrument()
    # One session alone has more than 5,000 bytes. netmiko before 4.8 itself keeps a filter for each connection.
    assert ours - growth() < 100_000
    NetmikoInstrumentor().instrument()


# Credentials.


@pytest.mark.parametrize("level", ["off", "metadata", "commands", "content"])
def test_no_credential_leaves_at_any_level(recorder: Recorder, device: kit.Device, level: str) -> None:
    capture(level)
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger("sessionspan").addHandler(handler)
    with connect(device) as connection:
        connection.enable()
        connection.send_command("show running-config")
        connection.send_command(kit.PASSWORD)  # typed where a command belongs
        connection.send_config_set([f"username admin secret {kit.TYPED}", f"enable secret {kit.SECRET}"])
        connection.send_command("login user", expect_string="assword")
        connection.send_command(kit.TYPED, expect_string="#", cmd_verify=False)
    fails_to_connect(device, netmiko.NetmikoAuthenticationException, password=f"{kit.PASSWORD}x")
    logging.getLogger("sessionspan").removeHandler(handler)
    everything = recorder.everything() + stream.getvalue()
    for secret in (kit.PASSWORD, kit.SECRET, kit.TYPED, kit.COMMUNITY):
        assert leaks(everything, secret) == [], level


def test_the_log_of_netmiko_is_exported_without_what_was_said(recorder: Recorder, device: kit.Device) -> None:
    handler = LoggingHandler(logger_provider=recorder.logger_provider)
    loggers = [logging.getLogger(name) for name in ("netmiko", "paramiko")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    try:
        with connect(device) as connection:
            connection.enable()
            connection.send_command("show running-config")
            connection.send_command("login user", expect_string="assword")
            connection.send_command(kit.TYPED, expect_string="#", cmd_verify=False)
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
    exported = [str(record.log_record.body) for record in recorder.logs]
    assert any(line.startswith("Authentication (") for line in exported)
    for secret in (kit.PASSWORD, kit.SECRET, kit.TYPED, kit.COMMUNITY):
        assert leaks(recorder.everything(), secret) == []
    assert not [line for line in exported if "read_channel" in line or "write_channel" in line]


# The library decides.


def test_results_and_errors_are_those_of_netmiko(recorder: Recorder, device: kit.Device) -> None:
    def talk() -> list[Any]:
        found: list[Any] = []
        with connect(device) as connection:
            found.append(connection.send_command("show version"))
            found.append(connection.find_prompt())
            found.append(connection.enable())
            found.append(connection.send_config_set(["interface Gi0/1"]))
            found.append(connection.send_command("show ip interface brief", use_textfsm=True))
            for wrong in (lambda: connection.send_command(), lambda: connection.commit()):
                try:
                    wrong()
                except Exception as error:
                    found.append((type(error), str(error)))
        return found

    patched = talk()
    NetmikoInstrumentor().uninstrument()
    assert talk() == patched
    NetmikoInstrumentor().instrument()


def test_command_durations_are_a_metric_with_labels_from_a_closed_set(
    recorder: Recorder, device: kit.Device
) -> None:
    with connect(device) as connection:
        connection.send_command("show version")
        connection.enable()
        with pytest.raises(netmiko.ReadTimeout):
            connection.send_command("show hang", read_timeout=0.3)
    common = {("sessionspan.side", "client"), ("network.protocol.name", "ssh")}
    assert recorder.points("sessionspan.command.duration") == {
        frozenset(common | {("sessionspan.command.name", name), ("sessionspan.reply.status", status)}): 1
        for name, status in (("COMMAND", "ok"), ("ENABLE", "ok"), ("COMMAND", "err"))
    }
