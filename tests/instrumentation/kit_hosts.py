"""Real devices for tests, where root is: OpenSSH's server, FRR's vtysh as a router, telnetd, a serial line.

Everything listens on loopback and lives in a directory of its own: no user is made, no file outside is changed,
and FRR's daemons have a network of their own.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

SSHD: Final = "/usr/sbin/sshd"
TELNETD: Final = "/usr/sbin/telnetd"
_FRR: Final = Path("/usr/lib/frr")

LOGIN: Final = """#!/bin/sh
# A login as a router has it: inetutils-telnetd starts it.
printf 'User Access Verification\\r\\n\\r\\nUsername: '
read -r user
stty -echo; printf 'Password: '; read -r password; stty echo; printf '\\r\\n'
[ "$user" = {user} ] && [ "$password" = {password} ] && exec {command}
printf '%% Login invalid\\r\\n'
exec "$0"
"""


def need(*tools: tuple[str | Path, str]) -> None:
    """Skip unless this is root and each of *tools* (a program, and the package that has it) is there."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a server's terminal is made for somebody else; run the tests in a container")
    missing = [package for program, package in tools if shutil.which(program) is None]
    if missing:
        pytest.skip(f"apt-get install {' '.join(missing)}")


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """A directory that other users may enter."""
    with tempfile.TemporaryDirectory(prefix="sessionspan-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@contextlib.contextmanager
def running(*command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """*command*, until the block ends."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until *condition* holds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether somebody listens on *port*."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def sshd(home: Path, command: str | None = None) -> Iterator[dict[str, Any]]:
    """OpenSSH's server, where root logs in with a key, to a shell or to *command*: what netmiko needs for it."""
    need((SSHD, "openssh-server"), ("ssh-keygen", "openssh-client"))
    port = free_port()
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # it insists
    lines = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {home / 'host_key'}",
        f"AuthorizedKeysFile {home / 'user_key.pub'}",
        f"PidFile {home / 'sshd.pid'}",
        "StrictModes no",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "PrintMotd no",
        "UsePAM no",
        "Subsystem sftp internal-sftp",
        *([f"ForceCommand {command}"] if command else []),
    ]
    (home / "sshd_config").write_text("\n".join(lines) + "\n")
    with running(SSHD, "-D", "-f", home / "sshd_config"):
        wait_for(lambda: listens(port), "sshd")
        yield {
            "host": "127.0.0.1",
            "port": port,
            "username": "root",
            "use_keys": True,
            "key_file": str(home / "user_key"),
        }


@contextlib.contextmanager
def frr(home: Path) -> Iterator[str]:
    """FRR's zebra and bgpd in a network of their own; the command that opens their command line."""
    need((_FRR / "zebra", "frr"), ("vtysh", "frr"), ("unshare", "util-linux"))
    vty, run = home / "vty", home / "run"
    for each in (vty, run):
        each.mkdir()
        shutil.chown(each, "frr", "frr")
    common: list[str | Path] = ["--vty_socket", vty, "-z", run / "zserv.api", "-A", "127.0.0.1", "-P", "0"]
    with contextlib.ExitStack() as stack:
        for name, options in (("zebra", ()), ("bgpd", ("-n", "-p", "0"))):
            pid = run / f"{name}.pid"
            stack.enter_context(running("unshare", "-n", _FRR / name, *options, *common, "-i", pid))
            wait_for((vty / f"{name}.vty").exists, name)
        (home / "vtysh.conf").touch()
        shell = home / "vtysh"
        shell.write_text(f"#!/bin/sh\nexec vtysh --vty_socket {vty} --config_dir {home}\n")
        shell.chmod(0o755)
        yield str(shell)


@contextlib.contextmanager
def telnetd(home: Path, command: str, user: str, password: str) -> Iterator[dict[str, Any]]:
    """A Telnet server that asks for *user* and *password* and then runs *command*."""
    need((TELNETD, "inetutils-telnetd"), ("socat", "socat"))
    port = free_port()
    login = home / "login"
    login.write_text(LOGIN.format(user=user, password=password, command=command))
    login.chmod(0o755)
    with running("socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", f"EXEC:{TELNETD} -E {login}"):
        wait_for(lambda: listens(port), "telnetd")
        yield {"host": "127.0.0.1", "port": port, "username": user, "password": password}


@contextlib.contextmanager
def serial_line(home: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A serial line to *command*: the two ends of a pseudo-terminal."""
    need(("socat", "socat"))
    line = home / "ttyS0"
    with running("socat", f"PTY,link={line},raw,echo=0", f"EXEC:{command},pty,setsid,stderr"):
        wait_for(line.exists, "serial line")
        # netmiko takes only ports that the system lists as serial, and a pseudo-terminal is none.
        base: Any = importlib.import_module("netmiko.base_connection")
        monkeypatch.setattr(base, "check_serial_port", lambda name: name)
        yield {"username": "", "password": "", "serial_settings": {"port": str(line)}}
