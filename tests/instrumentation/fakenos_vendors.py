"""Ten vendors' devices as fakenos plays them, each in one session of netmiko, and what was recorded of it.

    uv run python -m tests.instrumentation.fakenos_vendors [--bare] [--json] [platform ...]

The exit code is 1 where a session is not one span that ended well, with its commands, or did not come about.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan

import sessionspan
from sessionspan.testing import RecordedEvent, Recorder
from sessionspan_netmiko import NetmikoInstrumentor

USER: Final = "netops"
PASSWORD: Final = "fakenos-password-6193"

EPILOG: Final = """\
Each device has a port of its own on 127.0.0.1, where fakenos speaks SSH in a thread of this process. What should
be said of it: outcome ok, end_reason quit, and a `sent` and a `response` (with the size of what came) per command.

One of them failed? Try it with --bare, without sessionspan: what fails there too is between fakenos and netmiko.
"""


@dataclass(frozen=True)
class Device:
    """A platform of fakenos that netmiko knows by the same name, and commands with words of their answers."""

    vendor: str
    platform: str
    answers: Mapping[str, str]


# Of fakenos's 41 platforms: netmiko logs in to these, and no answer has the prompt within it.
DEVICES: Final = (
    Device("Cisco", "cisco_ios", {"show clock": "UTC", "show archive": "Archive feature"}),
    Device("Arista", "arista_eos", {"show boot-config": "Software image", "show reload cause": "Reload Cause 1"}),
    # 10 s for its end: fakenos's prompt lacks the blank by which netmiko knows that it is not configuring.
    Device("Juniper", "juniper_junos", {"show system uptime": "System booted"}),
    Device(
        "Huawei", "huawei_vrp", {"display version": "Versatile Routing", "display sn license": "ESN of device"}
    ),
    Device("HPE", "hp_comware", {"display clock": "UTC", "display device manuinfo": "DEVICE_NAME"}),
    Device("Dell", "dell_force10", {"show version": "Dell", "show arp": "Hardware Address"}),
    Device("Check Point", "checkpoint_gaia", {"show version all": "Check Point Gaia"}),
    Device("Extreme", "extreme_exos", {"show sharing": "Load Sharing Monitor"}),
    Device("Allied Telesis", "allied_telesis_awplus", {"show system": "System Status", "show arp": "MAC Address"}),
    Device("Ericsson", "ericsson_ipos", {"show version": "Ericsson IPOS", "show arp": "Context"}),
)


@dataclass
class Outcome:
    """What came of the session with one device; it is good when nothing is wrong."""

    vendor: str
    platform: str
    outcome: str = ""
    end_reason: str = ""
    commands: list[str] = field(default_factory=list)
    transcript: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@contextlib.contextmanager
def running(devices: Sequence[Device]) -> Iterator[Mapping[str, int]]:
    """The ports of *devices*, by platform, while they run."""
    ports = {device.platform: port for device, port in zip(devices, free_ports(len(devices)), strict=True)}
    hosts = {platform.replace("_", "-"): {"platform": platform, "port": ports[platform]} for platform in ports}
    fakenos: Any = importlib.import_module("fakenos")
    net = fakenos.FakeNOS({"default": {"username": USER, "password": PASSWORD}, "hosts": hosts})
    with quiet("fakenos", "paramiko"):  # they log each unknown command, and each client that has gone
        try:
            net.start()
            yield ports
        finally:
            # Each waits up to two seconds for its threads; `net.stop` of 1.0 would for all threads of the process.
            with ThreadPoolExecutor(len(hosts)) as pool:
                list(pool.map(lambda host: host.stop(), [each for each in net.hosts.values() if each.running]))


@contextlib.contextmanager
def quiet(*names: str) -> Iterator[None]:
    """The loggers called *names* log nothing."""
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens, no two the same."""
    with contextlib.ExitStack() as kept:
        listeners = [kept.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(listener.getsockname()[1]) for listener in listeners]


def talk(device: Device, port: int) -> list[str]:
    """Log in, ask all of it, log out; say what went wrong between netmiko and fakenos."""
    netmiko: Any = importlib.import_module("netmiko")
    parameters = {
        "device_type": device.platform,
        "host": "127.0.0.1",
        "port": port,
        # netmiko waits for some prompts by the clock; on a busy machine they come late, and are taken for others.
        "fast_cli": False,
        "global_delay_factor": 2,
    }
    wrong = []
    try:
        with (
            sessionspan.capture("commands"),  # whatever the environment says
            netmiko.ConnectHandler(**parameters, username=USER, password=PASSWORD) as connection,
        ):
            for command, words in device.answers.items():
                answer = connection.send_command(command)
                if words not in answer:
                    wrong.append(f"{command!r} was answered without {words!r}: {answer[:60]!r}")
    except Exception as error:
        wrong.append(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
    return wrong


def talk_to_all(devices: Sequence[Device], recorder: Recorder | None) -> list[Outcome]:
    """One session with each of *devices*; without *recorder* only netmiko and fakenos are looked at."""
    with running(devices) as ports, ThreadPoolExecutor(len(devices)) as pool:
        wrong = list(pool.map(lambda device: talk(device, ports[device.platform]), devices))
    found = []
    for device, faults in zip(devices, wrong, strict=True):
        outcome = Outcome(device.vendor, device.platform, wrong=faults)
        if recorder is not None:
            judge(outcome, list(device.answers), recorder, ports[device.platform])
        found.append(outcome)
    return found


def judge(found: Outcome, asked: list[str], recorder: Recorder, port: int) -> None:
    """Complete *found* by what was recorded of the device on *port*, which was *asked* this."""
    spans = [span for span in recorder.sessions if _values(span).get("server.port") == port]
    if len(spans) != 1:
        found.wrong.append(f"{len(spans)} spans of sessions")
        return
    values, events = _values(spans[0]), recorder.of(spans[0])
    found.outcome, found.end_reason = values["sessionspan.outcome"], values["sessionspan.end_reason"]
    found.commands = _texts(events, "device.command.sent")
    found.transcript = [_line(event) for event in events]
    if (found.outcome, found.end_reason) != ("ok", "quit"):
        found.wrong.append("the session did not end well")
    for name in ("device.command.sent", "device.command.response"):
        if _texts(events, name) != asked:
            found.wrong.append(f"{name}: {_texts(events, name)} instead of {asked}")


def _values(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def _texts(events: Sequence[RecordedEvent], name: str) -> list[str]:
    return [str(event.attributes.get("sessionspan.command.text")) for event in events if event.name == name]


def _line(event: RecordedEvent) -> str:
    name = event.name.removeprefix("session.").removeprefix("device.command.")
    return f"{name} {event.attributes.get('sessionspan.response.size', '')}".rstrip()


def table(outcomes: Sequence[Outcome]) -> str:
    """Two lines for each device, and one more for each thing that is wrong."""
    columns = "{:<15} {:<22} {:<8} {:<11} {}"
    lines = [columns.format("vendor", "platform", "outcome", "end_reason", "commands")]
    for found in outcomes:
        parts = (found.vendor, found.platform, found.outcome or "-", found.end_reason or "-")
        lines.append(columns.format(*parts, "; ".join(found.commands) or "-"))
        lines += [f"    {', '.join(found.transcript)}"] if found.transcript else []
        lines += [f"    WRONG: {each}" for each in found.wrong]
    good = sum(not found.wrong for found in outcomes)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("fakenos", "netmiko", "paramiko"))
    return "\n".join([*lines, f"{good} of {len(outcomes)} as they should be; {versions}"])


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m tests.instrumentation.fakenos_vendors",
        description="Talk to devices of ten vendors by netmiko, instrumented, and show what was recorded of each.",
        epilog=f"{EPILOG}\nplatforms: {', '.join(device.platform for device in DEVICES)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument(
        "platforms", nargs="*", metavar="platform", help="only these (default: all, which takes 15 seconds)"
    )
    found.add_argument("--bare", action="store_true", help="netmiko without sessionspan: do fakenos and it agree?")
    found.add_argument("--json", action="store_true", help="a list of objects, with the fields of the table")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 1 when something is wrong, 2 when it cannot run."""
    command = parser()
    options = command.parse_args(arguments)
    missing = [name for name in ("fakenos", "netmiko") if find_spec(name) is None]
    if missing:
        command.error(f"not installed: pip install {' '.join(missing)}")
    unknown = sorted(set(options.platforms) - {device.platform for device in DEVICES})
    if unknown:
        command.error(f"no platform of the list: {', '.join(unknown)}")
    devices = [each for each in DEVICES if not options.platforms or each.platform in options.platforms]
    if options.bare:
        outcomes = talk_to_all(devices, None)
    else:
        recorder = Recorder()
        NetmikoInstrumentor().instrument(
            tracer_provider=recorder.tracer_provider, logger_provider=recorder.logger_provider
        )
        try:
            outcomes = talk_to_all(devices, recorder)
        finally:
            NetmikoInstrumentor().uninstrument()
    print(json.dumps([asdict(found) for found in outcomes], indent=1) if options.json else table(outcomes))
    return int(any(found.wrong for found in outcomes))


if __name__ == "__main__":
    sys.exit(main())
