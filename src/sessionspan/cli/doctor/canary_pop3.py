"""The canary's POP3 server: one of somebody's own, under `stream_session`, that quotes all that it is sent."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from collections.abc import Iterator
from typing import Final

from sessionspan import stream_session
from sessionspan.cli.doctor.canary_ways import STAMP

_STEPS: Final = {b"PLAIN": 1, b"LOGIN": 2, b"CRAM-MD5": 1, b"XOAUTH2": 1, b"OAUTHBEARER": 1}  # of the client
_CHALLENGES: Final = {b"CRAM-MD5": (STAMP,), b"LOGIN": (b"Username:", b"Password:")}
_PATIENCE: Final = 5.0  # seconds


class Careless:
    """What it answers, line by line: it lets alice in, and quotes what others sent."""

    greeting: Final = b"+OK ready " + STAMP + b"\r\n"

    def __init__(self) -> None:
        self._user = b""
        self._mechanism = b""
        self._left = 0  # lines of an exchange that are still to come
        self._said: list[bytes] = []  # in it

    def answer(self, line: bytes) -> bytes:
        """The answer to *line*."""
        line = line.strip()
        if self._left:
            return self._go_on(line)
        verb, _, argument = line.partition(b" ")
        verb = verb.upper()
        if verb == b"AUTH":
            self._mechanism, _, initial = argument.partition(b" ")
            self._mechanism = self._mechanism.upper()
            self._left, self._said = _STEPS.get(self._mechanism, 0), []
            if not self._left:
                return b"-ERR no mechanism " + argument + b"\r\n"
            return self._go_on(initial) if initial else self._challenge()
        if verb == b"USER":
            self._user = argument
        elif verb in (b"PASS", b"APOP"):
            name = self._user if verb == b"PASS" else argument.partition(b" ")[0]
            return self._judge(name, line)
        return (
            b"+OK\r\n" if verb in (b"USER", b"STAT", b"NOOP", b"QUIT") else b"-ERR [AUTH] what: " + line + b"\r\n"
        )

    def _challenge(self) -> bytes:
        text = _CHALLENGES.get(self._mechanism, (b"",))[len(self._said)]
        return b"+ " + base64.b64encode(text) + b"\r\n"

    def _go_on(self, line: bytes) -> bytes:
        if line == b"*":
            self._left = 0
            return b"-ERR cancelled\r\n"
        self._left -= 1
        with contextlib.suppress(ValueError):
            line = base64.b64decode(line, validate=True)
        self._said.append(line)
        return self._challenge() if self._left else self._judge(b" ".join(self._said), b" ".join(self._said))

    def _judge(self, name: bytes, line: bytes) -> bytes:
        return b"+OK " + line + b"\r\n" if b"alice" in name else b"-ERR [AUTH] wrong: " + line + b"\r\n"


@stream_session("pop3")
async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one client."""
    careless = Careless()
    writer.write(careless.greeting)
    while line := await reader.readline():
        writer.write(careless.answer(line).replace(b"\0", b"?"))
        await writer.drain()
        if line.strip().upper() == b"QUIT":
            break
    writer.close()


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """Serve on a free port of loopback, and say which."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE)
        loop.close()
