"""An IMAP server as people write them themselves, on asyncio and on socketserver: one mailbox with one message.

`dialogue` is the server without its connection: it says what it needs, a line or some bytes or a handshake, and
what it has to say; the two servers do it.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
import socketserver
from collections.abc import Callable, Generator
from typing import NamedTuple, TypeAlias

from tests.kit_servers import STAMP, decoded, server_context

MESSAGE = b"Subject: hi\r\n\r\nhello\r\n.not stuffed\r\n"
CAPABILITIES = b"* CAPABILITY IMAP4rev1 IDLE LITERAL+ SASL-IR AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5 AUTH=XOAUTH2"


class Needs(NamedTuple):
    """What the server waits for: ``size`` bytes, or a line when 0; or a TLS handshake."""

    size: int = 0
    tls: bool = False


LINE = Needs()
Step: TypeAlias = bytes | Needs  # to say, or to wait for
Dialogue: TypeAlias = Generator[Step, bytes, None]
Asked: TypeAlias = Generator[Step, bytes, bytes]

_LITERAL = re.compile(rb"\{(\d{1,9})(\+?)\}$")


def dialogue(password: bytes = b"secret", starttls: bool = False) -> Dialogue:
    """Serve one client."""
    yield b"* OK IMAP4rev1 ready\r\n"
    while parts := (yield from _command()):
        tag, _, rest = parts[0].partition(b" ")
        name, *arguments = [*rest.split(), *parts[1:]] or [b""]
        name = name.upper()
        if name == b"UID" and arguments:
            name = arguments.pop(0).upper()
        if name == b"CAPABILITY":
            yield CAPABILITIES + b" STARTTLS" * starttls + b"\r\n" + tag + b" OK done\r\n"
            continue
        answer = _ANSWERS.get(name)
        if answer is None:
            yield tag + b" BAD what?\r\n"
            continue
        yield from answer(tag, arguments, password)
        if name == b"LOGOUT":
            return


def _command() -> Generator[Step, bytes, list[bytes]]:
    """The parts of a command: its line, its literals, what follows them; nothing at the end of the connection."""
    parts: list[bytes] = []
    while True:
        line = yield LINE
        if not line:
            return []
        parts.append(line.rstrip(b"\r\n"))
        literal = _LITERAL.search(parts[-1])
        if literal is None:
            return parts
        parts[-1] = parts[-1][: literal.start()]
        if not literal[2]:
            yield b"+ go on\r\n"
        parts.append((yield Needs(int(literal[1]))))


def _unquoted(text: bytes) -> bytes:
    return re.sub(rb"\\(.)", rb"\1", text[1:-1]) if text[:1] == b'"' else text


def _says(*untagged: bytes, code: bytes = b"") -> Callable[[bytes, list[bytes], bytes], Dialogue]:
    """A command that is answered with these lines."""

    def answer(tag: bytes, arguments: list[bytes], password: bytes) -> Dialogue:
        yield b"".join(line + b"\r\n" for line in untagged) + tag + b" OK " + code + b"done\r\n"

    return answer


def _judged(tag: bytes, right: bool) -> bytes:
    return tag + (b" OK in\r\n" if right else b" NO [AUTHENTICATIONFAILED] no\r\n")


def _login(tag: bytes, arguments: list[bytes], password: bytes) -> Dialogue:
    given = [_unquoted(each) for each in arguments if each.strip()]
    yield _judged(tag, given[1:] == [password])


def _authenticate(tag: bytes, arguments: list[bytes], password: bytes) -> Dialogue:
    mechanism, *initial = arguments or [b""]
    check = _MECHANISMS.get(mechanism.upper())
    if check is None:
        yield tag + b" NO no such mechanism\r\n"
        return
    yield _judged(tag, (yield from check(initial, password)) == b"yes")


def _ask(challenge: bytes, initial: list[bytes]) -> Asked:
    if initial:
        return decoded(initial.pop())
    yield b"+ " + base64.b64encode(challenge) + b"\r\n"
    line = yield LINE
    return decoded(line.strip())


def _plain(initial: list[bytes], password: bytes) -> Asked:
    response = yield from _ask(b"", initial)
    return b"yes" if response.split(b"\0")[2:] == [password] else b""


def _login_mechanism(initial: list[bytes], password: bytes) -> Asked:
    yield from _ask(b"Username:", initial)
    return b"yes" if (yield from _ask(b"Password:", [])) == password else b""


def _cram_md5(initial: list[bytes], password: bytes) -> Asked:
    response = yield from _ask(STAMP.encode(), [])
    digest = hmac.new(password, STAMP.encode(), "md5").hexdigest().encode()
    return b"yes" if response.endswith(b" " + digest) else b""


def _xoauth2(initial: list[bytes], password: bytes) -> Asked:
    response = yield from _ask(b"", initial)
    return b"yes" if response.endswith(b"\1auth=Bearer " + password + b"\1\1") else b""


def _starttls(tag: bytes, arguments: list[bytes], password: bytes) -> Dialogue:
    yield tag + b" OK begin\r\n"
    yield Needs(tls=True)


def _idle(tag: bytes, arguments: list[bytes], password: bytes) -> Dialogue:
    yield b"+ idling\r\n"
    yield b"* 2 EXISTS\r\n"
    yield LINE
    yield tag + b" OK done\r\n"


_FETCHED = b"* 1 FETCH (UID 7 FLAGS () RFC822.SIZE %d BODY[] {%d}\r\n%b)" % (len(MESSAGE), len(MESSAGE), MESSAGE)
_SELECTED = (b"* 1 EXISTS", b"* 0 RECENT", b"* FLAGS (\\Seen)", b"* OK [UIDVALIDITY 1] x", b"* OK [UIDNEXT 8] x")

_ANSWERS: dict[bytes, Callable[[bytes, list[bytes], bytes], Dialogue]] = {
    b"APPEND": _says(code=b"[APPENDUID 1 8] "),
    b"AUTHENTICATE": _authenticate,
    b"EXPUNGE": _says(b"* 1 EXPUNGE"),
    b"FETCH": _says(_FETCHED),
    b"IDLE": _idle,
    b"LIST": _says(b'* LIST () "/" INBOX'),
    b"LOGIN": _login,
    b"LOGOUT": _says(b"* BYE"),
    b"NOOP": _says(),
    b"SEARCH": _says(b"* SEARCH 7"),
    b"SELECT": _says(*_SELECTED, code=b"[READ-WRITE] "),
    b"STARTTLS": _starttls,
    b"STORE": _says(b"* 1 FETCH (FLAGS (\\Seen))"),
}
_MECHANISMS: dict[bytes, Callable[[list[bytes], bytes], Asked]] = {
    b"CRAM-MD5": _cram_md5,
    b"LOGIN": _login_mechanism,
    b"PLAIN": _plain,
    b"XOAUTH2": _xoauth2,
}


async def serve_imap(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, password: bytes = b"secret"
) -> None:
    """The server on asyncio; on Python 3.11 and later with STARTTLS."""
    speech = dialogue(password, starttls=True)
    step = next(speech)
    try:
        while True:
            given = b""
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif step.tls:
                await writer.start_tls(server_context())  # type: ignore[attr-defined, unused-ignore]
            elif step.size:
                given = await reader.readexactly(step.size)
            else:
                given = await reader.readline()
            step = speech.send(given)
    except (StopIteration, ConnectionError, asyncio.IncompleteReadError):
        pass
    except ValueError:
        pass  # a line that is too long for asyncio
    finally:
        writer.close()


class IMAPHandler(socketserver.StreamRequestHandler):
    """The server on socketserver; without STARTTLS."""

    password = b"secret"

    def handle(self) -> None:
        speech = dialogue(self.password)
        step = next(speech)
        try:
            while True:
                given = b""
                if isinstance(step, bytes):
                    self.wfile.write(step)
                elif step.size:
                    given = self.rfile.read(step.size)
                else:
                    given = self.rfile.readline()
                step = speech.send(given)
        except StopIteration:
            pass
