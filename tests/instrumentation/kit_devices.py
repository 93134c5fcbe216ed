"""A network device for tests: prompts, enable, configuration, dialogs, and all the ways in which one can go wrong.

It speaks SSH by asyncssh, in a thread of its own, and a little Cisco IOS. Beside it stand ports that are silent,
reset, or talk something else.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import asyncssh

USER: Final = "netops"
PASSWORD: Final = "device-password-8841"
SECRET: Final = "enable-secret-7235"
TYPED: Final = "typed-secret-5512"  # what a test types into a question
COMMUNITY: Final = "community-3307"
HOSTNAME: Final = "rtr1"

BIG: Final = 10 * 1024 * 1024
INVALID: Final = "% Invalid input detected at '^' marker."
_LINE: Final = "GigabitEthernet0/0/0 is up, line protocol is up, and this line has sixty-four characters\r\n"

OUTPUTS: Final = {
    "show version": "Cisco IOS Software, Version 15.2(4)\r\nrtr1 uptime is 1 week",
    "show ip interface brief": "\r\n".join(f"Gi0/{n}  10.0.{n}.1  YES manual up  up" for n in range(5)),
    "show ansi": "\x1b[31mred\x1b[0m and \x1b[1mbold\x1b[0m",
    "show running-config": f"hostname rtr1\r\nenable secret {SECRET}\r\nsnmp-server community {COMMUNITY} RO",
    "show big": (_LINE * (BIG // len(_LINE))).rstrip(),
    "write memory": "Building configuration...\r\n[OK]",
    "write mem": "Building configuration...\r\n[OK]",
    "terminal length 0": "",
    "terminal width 511": "",
}


class Terminal(asyncssh.SSHServerSession):  # type: ignore[misc, type-arg, unused-ignore]
    """One login on the device."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._mode = ">"
        self._line = ""
        self._question: tuple[str, Callable[[str], None], bool] | None = None
        self._channel: Any = None

    def connection_made(self, chan: Any) -> None:
        self._channel = chan

    def shell_requested(self) -> bool:
        return True

    def pty_requested(self, *args: Any) -> bool:
        return True

    def session_started(self) -> None:
        self._say("\r\nAuthorized users only\r\n")
        self._prompt()

    def data_received(self, data: str, datatype: Any) -> None:
        for character in data:
            if character in "\r\n":
                line, self._line = self._line, ""
                self._say("\r\n")
                self._entered(line)
            elif character != "\0":
                self._line += character
                if self._question is None or self._question[2]:
                    self._say(character)

    def _say(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._channel.write(text)

    def _prompt(self) -> None:
        self._say(f"{HOSTNAME}{self._mode}")

    def _ask(self, question: str, then: Callable[[str], None], *, echo: bool = True) -> None:
        self._question = (question, then, echo)
        self._say(question)

    def _entered(self, line: str) -> None:
        if self._question is not None:
            (_, then, _), self._question = self._question, None
            then(line)
            return
        line = line.strip()
        if line:
            self._device.commands.append(line)
        act = {
            "enable": lambda: self._ask("Password: ", self._enable, echo=False),
            "disable": lambda: self._to(">"),
            "configure terminal": lambda: self._to("(config)#"),
            "end": lambda: self._to("#"),
            "exit": self._exit,
            "show slow": lambda: self._later(1.0, "took its time"),
            "show hang": lambda: self._say("working"),
            "show paging": lambda: self._page(3),
            "die": lambda: self._device.abort(self._channel),
            "leave": self._channel.close,
            "copy running-config tftp:": lambda: self._ask("Address or name of remote host []? ", self._address),
            "set password": lambda: self._ask("Destination password []? ", self._accepted),
            "login user": lambda: self._ask("Password: ", self._accepted, echo=False),
            "clear counters": lambda: self._ask("Clear counters [confirm]", self._accepted),
        }.get(line)
        if act is not None:
            act()
        elif self._mode == "(config)#":
            self._answer(INVALID if line.startswith("bad") else "")
        else:
            self._answer(OUTPUTS.get(line, INVALID if line else ""))

    def _answer(self, text: str) -> None:
        if text:
            self._say(text + "\r\n")
        self._prompt()

    def _to(self, mode: str) -> None:
        self._mode = mode
        self._prompt()

    def _enable(self, secret: str) -> None:
        if secret == SECRET:
            self._to("#")
        else:
            self._answer("% Bad secrets")

    def _exit(self) -> None:
        if self._mode == "(config)#":
            self._to("#")
        else:
            self._channel.exit(0)

    def _later(self, seconds: float, text: str) -> None:
        asyncio.get_running_loop().call_later(seconds, self._answer, text)

    def _page(self, left: int) -> None:
        self._say(f"page {left}\r\n")
        if left > 1:
            self._ask("--More-- ", lambda key: self._page(left - 1), echo=False)
        else:
            self._prompt()

    def _address(self, address: str) -> None:
        self._ask("Destination filename [rtr1-confg]? ", self._copied)

    def _copied(self, name: str) -> None:
        self._answer("!!\r\n1024 bytes copied in 0.1 secs")

    def _accepted(self, answer: str) -> None:
        self._answer("accepted")


class _Server(asyncssh.SSHServer):
    def __init__(self, device: Device) -> None:
        self._device = device

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)

    def session_requested(self) -> Terminal:
        return Terminal(self._device)


@dataclass
class Device:
    """A running device: where it listens, and the commands that it has heard."""

    port: int = 0
    commands: list[str] = field(default_factory=list)
    _loop: Any = None

    def abort(self, channel: Any) -> None:
        """Reset the connection, as a device that loses power."""
        channel.get_connection().abort()

    def parameters(self, **changed: Any) -> dict[str, Any]:
        """What `ConnectHandler` needs for it."""
        return {
            "device_type": "cisco_ios",
            "host": "127.0.0.1",
            "port": self.port,
            "username": USER,
            "password": PASSWORD,
            "secret": SECRET,
            **changed,
        }


@contextlib.contextmanager
def device() -> Iterator[Device]:
    """A device, in a thread of its own."""
    found = Device()
    started, loop = threading.Event(), asyncio.new_event_loop()

    async def serve() -> Any:
        server = await asyncssh.create_server(
            lambda: _Server(found),
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            line_editor=False,
            encoding="utf-8",
        )
        found.port = server.get_port()
        started.set()
        return server

    def run() -> None:
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(serve())
        loop.run_forever()
        server.close()
        loop.run_until_complete(asyncio.sleep(0))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


@contextlib.contextmanager
def port(talks: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where each connection is left to *talks*, which may keep it."""
    listener = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                kept.append(connection)
                with contextlib.suppress(OSError):
                    talks(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in kept:
            connection.close()
        thread.join(10)


def silent(connection: socket.socket) -> None:
    """Say nothing."""


def resets(connection: socket.socket) -> None:
    """Reset the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def junk(connection: socket.socket) -> None:
    """Speak HTTP."""
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    connection.close()


def refused() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
