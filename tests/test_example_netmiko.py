"""The recipes of docs/netmiko.md do what the page says, with a device that speaks SSH."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.instrumentation.threading import ThreadingInstrumentor

from sessionspan import operation, own
from sessionspan.events import Event
from sessionspan.gate import Gate
from sessionspan.projection import names_in
from sessionspan.testing import Recorder
from sessionspan_netmiko import NetmikoInstrumentor
from tests.instrumentation import kit_devices as kit

netmiko: Any = importlib.import_module("netmiko")

PAGE = Path(__file__).parent.parent / "docs" / "netmiko.md"


@pytest.fixture(scope="module")
def device() -> Iterator[kit.Device]:
    with kit.device() as found:
        yield found


@pytest.fixture(autouse=True)
def instrumented(recorder: Recorder) -> Iterator[None]:
    providers = {"tracer_provider": recorder.tracer_provider, "logger_provider": recorder.logger_provider}
    NetmikoInstrumentor().instrument(**providers)
    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider)
    yield
    NetmikoInstrumentor().uninstrument()
    own.SCOPE.unbind()


def recipe(name: str) -> Any:
    """The function *name* of the page."""
    (code,) = re.findall(
        rf"^```python\n((?:(?!^```).)*^def {name}\(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    namespace: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(code, str(PAGE), "exec"), namespace)
    return namespace[name]


def bodies(recorder: Recorder) -> list[str]:
    return [re.sub(r" [0-9.]+ m?s$", "", event.body) for event in recorder.events]


def test_the_collection_is_the_story_that_it_says(recorder: Recorder, device: kit.Device) -> None:
    output = recipe("collect")(device.parameters(), 1, 7)
    assert "Gi0/1" in output
    assert bodies(recorder) == [
        "operation.start interface_collection",
        "operation.planned interface_collection show ip interface brief",
        "session.start",
        "auth.success password netops",
        "session.established 127.0.0.1 cisco_ios",
        "device.command.sent show ip interface brief",
        f"device.command.response show ip interface brief {response_size(recorder)} B",
        "auth.end netops",
        "session.end ok quit",
        "operation.success interface_collection Found 5 interfaces",
    ]
    for event in recorder.events:
        assert event["sessionspan.operation.device.id"] == "1"
        assert event["sessionspan.operation.user.id"] == "7"
    assert len({event.trace_id for event in recorder.events}) == 1


def response_size(recorder: Recorder) -> int:
    return int(recorder.named("device.command.response")[0]["sessionspan.response.size"])


def test_the_poll_is_one_operation_over_all_its_threads(recorder: Recorder, device: kit.Device) -> None:
    outputs = recipe("poll")([device.parameters()] * 5)
    assert len(outputs) == 5
    assert len({event["sessionspan.operation.id"] for event in recorder.events}) == 1
    assert len(recorder.sessions) == 5
    assert len({span.parent.span_id for span in recorder.sessions if span.parent}) == 1


def test_the_flask_route_has_the_user_and_the_device_on_every_event(
    recorder: Recorder, device: kit.Device
) -> None:
    client = recipe("application")({3: device.parameters()}).test_client()
    answer = client.post("/devices/3/interfaces")
    assert answer.status_code == 200
    assert len(answer.json["interfaces"]) == 5
    assert {event["sessionspan.operation.device.id"] for event in recorder.events} == {"3"}
    assert {event["sessionspan.operation.user.id"] for event in recorder.events} == {"7"}
    assert recorder.named("operation.success")[0]["sessionspan.operation.summary"] == "Found 5 interfaces"


def test_every_type_of_a_session_log_is_projected_from_its_event(
    recorder: Recorder, device: kit.Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[str] = []
    monkeypatch.setattr(Gate, "record", told(rows, Gate.record))
    monkeypatch.setattr(operation, "_record", told(rows, operation._record))
    collect = recipe("collect")
    collect(device.parameters(), 1, 7)
    assert rows == [
        "interface_collection_start",
        "interface_commands_planned",
        "connection_start",
        "connection_success",
        "command_sent",
        "command_response",
        "disconnection",
        "interface_collection_success",
    ]
    rows.clear()
    with pytest.raises(Exception, match="TCP connection to device failed"):
        collect(device.parameters(port=kit.refused()), 1, 7)
    assert rows[2:] == ["connection_start", "connection_failed", "interface_collection_failed"]
    rows.clear()
    with pytest.raises(Exception, match="Pattern not detected"):
        with netmiko.ConnectHandler(**device.parameters()) as connection:
            connection.send_command("show hang", read_timeout=0.3)
    assert rows == ["connection_start", "connection_success", "command_sent", "command_failed", "disconnection"]


def told(rows: list[str], record: Any) -> Any:
    """*record*, and the rows of a session log that each event makes."""

    def recording(self: Any, event: Event, *rest: Any) -> None:
        rows.extend(names_in("netmiko", event))
        record(self, event, *rest)

    return recording


# What stands on top of netmiko.


def test_nornir_is_one_session_for_each_host(recorder: Recorder, device: kit.Device) -> None:
    nornir: Any = importlib.import_module("nornir")
    tasks: Any = importlib.import_module("nornir_netmiko.tasks")
    inventory: Any = importlib.import_module("nornir.core.inventory")
    plugins: Any = importlib.import_module("nornir.core.plugins.inventory")
    hosts = {
        f"rtr{number}": inventory.Host(
            name=f"rtr{number}",
            hostname="127.0.0.1",
            port=device.port,
            username=kit.USER,
            password=kit.PASSWORD,
            platform="cisco_ios",
        )
        for number in range(4)
    }

    class Inventory:
        def load(self) -> Any:
            return inventory.Inventory(hosts=inventory.Hosts(hosts))

    plugins.InventoryPluginRegister.register("InMemory", Inventory)
    runner = nornir.InitNornir(
        logging={"enabled": False},
        inventory={"plugin": "InMemory"},
        runner={"plugin": "threaded", "options": {"num_workers": 4}},
    )
    ThreadingInstrumentor().instrument()
    try:
        with operation("poll"):
            for command in ("show version", "show ip interface brief"):
                result = runner.run(task=tasks.netmiko_send_command, command_string=command)
                assert not result.failed
        runner.close_connections()
    finally:
        ThreadingInstrumentor().uninstrument()
    sessions = recorder.wait_for_sessions(4)
    assert len(sessions) == 4
    (started,) = {event.span_id for event in recorder.named("operation.start")}
    assert {f"{span.parent.span_id:016x}" for span in sessions if span.parent} == {started}
    for session in sessions:
        sent = [e["sessionspan.command.text"] for e in recorder.of(session) if e.name == "device.command.sent"]
        assert sent == ["show version", "show ip interface brief"]


def test_napalm_is_one_session(recorder: Recorder, device: kit.Device) -> None:
    napalm: Any = importlib.import_module("napalm")
    driver = napalm.get_network_driver("ios")(
        "127.0.0.1",
        kit.USER,
        kit.PASSWORD,
        optional_args={"port": device.port, "secret": kit.SECRET, "inline_transfer": True},
    )
    driver.open()
    assert "Cisco IOS" in driver.cli(["show version"])["show version"]
    driver.close()
    (session,) = recorder.wait_for_sessions(1)
    assert (session.attributes or {})["sessionspan.end_reason"] == "quit"
    assert "show version" in [e["sessionspan.command.text"] for e in recorder.named("device.command.sent")]
