"""How well secrets are found in the text of devices: ``python -m benchmarks.secrets``.

Recall on our corpus (tests/devices/corpus.txt), false positives on ordinary output: what fakenos carries for its
platforms, what FRR and Linux say of themselves on this machine. And what it costs.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from sessionspan.devices.secrets import Secrets
from sessionspan.devices.text import LIMIT, cut

TESTS: Final = Path(__file__).parent.parent / "tests" / "devices"
PER_COMMAND: Final = 2_000  # lines; so that no one output outweighs all others
FRR: Final = Path("/usr/lib/frr")

_MARKED: Final = re.compile(r"\[\[(.+?)\]\](?!\])")
_LINUX: Final = (
    "cat /etc/services",
    "cat /etc/protocols",
    "cat /etc/login.defs",
    "cat /etc/passwd /etc/group",
    "cat /etc/ssh/ssh_config /etc/ssh/sshd_config",
    "cat /etc/pam.d/*",
    "cat /proc/meminfo /proc/cpuinfo /proc/net/dev",
    "ls -lR /etc",
    "ps aux",
    "ip addr; ip route",
    "mount; df",
    "sysctl -a",
    "dpkg -l",
)
_VTYSH: Final = (
    "show version",
    "show running-config",
    "show interface",
    "show interface brief",
    "show ip route",
    "show ipv6 route",
    "show memory",
    "show thread cpu",
    "show work-queues",
    "show zebra",
    "show zebra client",
    "show bgp summary",
    "show ip bgp",
    "show bgp memory",
    "show bgp vrfs",
    "show ip ospf",
    "show logging",
    "show daemons",
)


class Line(NamedTuple):
    """A line of the corpus: what is on it, and what of that is secret."""

    platform: str
    text: str
    secrets: tuple[str, ...]


def corpus() -> Iterator[Line]:
    """Our corpus."""
    for line in (TESTS / "corpus.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            platform, _, marked = line.partition(" | ")
            yield Line(platform, _MARKED.sub(r"\1", marked), tuple(_MARKED.findall(marked)))


def missed(line: Line) -> list[str]:
    """The secrets of *line* of which something still shows when it is redacted."""
    redacted = Secrets().redact(line.text)
    # A word of the secret counts, unless the rest of the line has it, too.
    rest = line.text
    for secret in line.secrets:
        rest = rest.replace(secret, " ")
    return [
        secret
        for secret in line.secrets
        if secret in redacted or any(len(w) > 2 and w in redacted and w not in rest for w in secret.split())
    ]


def ordinary() -> Iterator[tuple[str, str]]:
    """Lines that people see every day, with where they are from: fakenos, frr, linux; as far as they are here."""
    for command in _LINUX:
        done = subprocess.run(command, shell=True, capture_output=True, text=True, errors="replace")
        yield from (("linux", line) for line in done.stdout.splitlines()[:PER_COMMAND])
    if importlib.util.find_spec("fakenos") is not None:
        yield from (("fakenos", line) for line in _of_fakenos())
    if (FRR / "zebra").exists() and os.geteuid() == 0:
        yield from (("frr", line) for line in _of_frr())


def _of_fakenos() -> Iterator[str]:
    import yaml

    spec = importlib.util.find_spec("fakenos")
    assert spec is not None
    assert spec.origin is not None
    for file in sorted((Path(spec.origin).parent / "plugins" / "nos").glob("**/*.yaml")):
        for command in yaml.safe_load(file.read_text()).get("commands", {}).values():
            output = command.get("output")
            if isinstance(output, str):
                yield from output.splitlines()


def _of_frr() -> Iterator[str]:
    """What an FRR of our own says: without a configuration, listening nowhere, in a name space of its own."""
    space = f"sessionspan-{os.getpid()}"
    runs = Path("/run/frr") / space
    runs.mkdir(parents=True)
    shutil.chown(runs, "frr", "frr")
    started = []
    try:
        with tempfile.TemporaryFile() as said:
            for daemon, options in (("zebra", []), ("bgpd", ["-p", "0"]), ("ospfd", [])):
                command = [str(FRR / daemon), "-N", space, "-f", "/dev/null", "-P", "0", *options]
                started.append(subprocess.Popen(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL))
                _wait_for(runs / f"{daemon}.vty")
        for question in _VTYSH:
            done = subprocess.run(["vtysh", "-N", space, "-c", question], capture_output=True, text=True)
            yield from done.stdout.splitlines()[:PER_COMMAND]
    finally:
        for process in started:
            process.terminate()
            process.wait(10)
        shutil.rmtree(runs, ignore_errors=True)


def _wait_for(path: Path) -> None:
    for _ in range(100):
        if path.exists():
            return
        time.sleep(0.05)
    raise TimeoutError(f"{path} did not appear")


def holding_secrets() -> set[str]:
    """The ordinary lines that do hold a secret, as `digest` of each: the lines are other people's."""
    lines = (TESTS / "holding_secrets.txt").read_text().splitlines()
    return {line.split()[0] for line in lines if line and not line.startswith("#")}


def digest(line: str) -> str:
    """A name for *line*."""
    return hashlib.sha256(line.strip().encode()).hexdigest()[:16]


def measure() -> dict[str, Any]:
    """Both figures, and what was wrong."""
    lines = list(corpus())
    misses = {line.text: found for line in lines if (found := missed(line))}
    secrets, holding = Secrets(), holding_secrets()
    seen: dict[str, int] = {}
    changed: dict[str, list[str]] = {}
    for source, text in ordinary():
        if not text.strip() or digest(text) in holding:
            continue
        seen[source] = seen.get(source, 0) + 1
        if secrets.redact(text) != text:
            changed.setdefault(source, []).append(text)
    wanted = sum(len(line.secrets) for line in lines)
    lost = sum(map(len, misses.values()))
    return {
        "corpus_lines": len(lines),
        "platforms": len({line.platform for line in lines}),
        "secrets": wanted,
        "recall": (wanted - lost) / wanted,
        "missed": misses,
        "ordinary_lines": seen,
        "changed": changed,
        "false_positives": sum(map(len, changed.values())) / sum(seen.values()),
    }


def cost() -> dict[str, float]:
    """Microseconds of CPU: a command, a configuration of 4 KiB with secrets, as much ordinary text."""
    secrets = Secrets(["correct horse", "battery-staple"])
    config = cut("\n".join(line.text for line in corpus())).text
    plain = ("GigabitEthernet0/1 is up, line protocol is up\n" * 100)[:LIMIT]
    return {
        "show interface GigabitEthernet0/1": _cpu(secrets, "show interface GigabitEthernet0/1"),
        "snmp-server community x RO": _cpu(secrets, "snmp-server community x RO"),
        "ordinary text, 4 KiB": _cpu(secrets, plain),
        "configuration, all secrets, 4 KiB": _cpu(secrets, config),
    }


def _cpu(secrets: Secrets, text: str) -> float:
    secrets.redact(text)
    rounds = 20 if len(text) > 1000 else 2_000
    best = float("inf")
    for _ in range(5):
        begun = time.process_time()
        for _ in range(rounds):
            secrets.redact(text)
        best = min(best, (time.process_time() - begun) / rounds)
    return best * 1e6


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.secrets", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    options = parser.parse_args(arguments)
    result = measure() | {"cpu_us": cost()}
    if options.json:
        print(json.dumps(result, indent=2))
        return 0
    print(
        f"recall: {result['recall']:.1%} of {result['secrets']} secrets in {result['corpus_lines']} lines "
        f"of {result['platforms']} platforms"
    )
    for text, secrets in result["missed"].items():
        print(f"  missed: {secrets} in {text}")
    for source, number in result["ordinary_lines"].items():
        wrong = result["changed"].get(source, [])
        print(f"false positives: {len(wrong)} of {number:,} ordinary lines of {source}")
        for line in wrong:
            print(f"  {line.strip()[:100]}")
    print(f"together: {result['false_positives'] * 1000:.2f} in 1,000")
    for what, spent in result["cpu_us"].items():
        print(f"CPU: {spent:,.0f} us for {what}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
