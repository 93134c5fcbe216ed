"""What evil clients of POP3 and IMAP send, and a client that sends it and keeps what it got for it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Final

PATIENCE = 30.0  # seconds; a bound against hanging, never a measurement
MEBI: Final = 1024 * 1024

COMMON: Final[dict[str, bytes]] = {
    "an endless line": b"A" * MEBI,
    "a long line": b"NOOP " + b"A" * MEBI + b"\r\n",
    "lines of 4 kB": (b"B" * 4094 + b"\r\n") * 64,
    "NULs": b"\0\r\n" * 100 + b"\0" * 1000 + b"\r\nNO\0OP\r\nNOOP\0\r\n",
    "no UTF-8": b"\xff\xfe\x80 \xc3\x28\r\nUSER \xf0\x28\x8c\x28\r\n\xed\xa0\x80 LOGIN \xed\xa0\x80 \xff\r\n",
    "terminal escapes": b"USER \x1b]0;owned\x07\x1b[2J\r\n\x1b LOGIN \x1b[2J \x9b\r\n",
    "lone LF": b"NOOP\nNOOP\n1 NOOP\n\n\n",
    "lone CR": b"NOOP\rNOOP\r1 NOOP\r\r\r\n",
    "empty lines": b"\r\n" * 1000,
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "SMTP": b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n",
    "deep parentheses": b"1 FETCH 1 " + b"(" * 50_000 + b"\r\n",
    "a closed one": b"1 FETCH 1 " + b"(" * 10_000 + b")" * 10_000 + b"\r\n2 NOOP\r\n",
    "nothing": b"",
}
POP3: Final[dict[str, bytes]] = COMMON | {
    "thousands of commands": b"NOOP\r\n" * 5000 + b"QUIT\r\n",
    "thousands of messages": b"RETR 1\r\n" * 2000 + b"QUIT\r\n",
    "thousands of numbers": b"".join(b"DELE %d\r\n" % 10**n for n in range(1000)),
    "an exchange of garbage": b"AUTH PLAIN\r\n!!!\r\nAUTH LOGIN\r\n\0\r\n" + b"A" * 8000 + b"\r\nNOOP\r\n",
    "exchanges that are cancelled": b"AUTH CRAM-MD5\r\n*\r\n" * 500 + b"QUIT\r\n",
    "an exchange that never ends": b"AUTH PLAIN\r\n",
    "mechanisms": b"".join(b"AUTH X-%d AAAA\r\n" % n for n in range(1000)),
    "PASS without USER": b"PASS x\r\n" * 1000,
}
IMAP: Final[dict[str, bytes]] = COMMON | {
    "thousands of commands": b"1 NOOP\r\n" * 5000 + b"2 LOGOUT\r\n",
    "tags": b"".join(b"%d NOOP\r\n" % 10**n for n in range(500)),
    "one tag for all": b"1 NOOP\r\n1 CAPABILITY\r\n1 XYZ\r\n" * 500,
    "a huge literal": b"1 APPEND INBOX {999999999}\r\n" + b"x" * 1000,
    "a huge literal that does not wait": b"1 APPEND INBOX {999999999+}\r\n" + b"x" * 100_000,
    "a literal without bounds": b"1 APPEND INBOX {99999999999999999999999}\r\n2 NOOP\r\n",
    "a literal that never ends": b"1 LOGIN {5}\r\nal",
    "a literal of a megabyte": b"1 APPEND INBOX {%d+}\r\n" % MEBI
    + b"9 LOGIN a b\r\n".ljust(MEBI, b"x")
    + b"\r\n2 NOOP\r\n",
    "literals within literals": b"1 LOGIN {4+}\r\n{9+} {4+}\r\n{9+}\r\n2 NOOP\r\n",
    "many literals": b"1 LOGIN" + b" {1+}\r\na" * 1000 + b"\r\n2 NOOP\r\n",
    "an empty literal": b"1 LOGIN {0+}\r\n {0+}\r\n\r\n2 NOOP\r\n",
    "a quote that is not closed": b'1 LOGIN "alice ' + b"x" * 5000 + b"\r\n2 NOOP\r\n",
    "a quote of backslashes": b'1 LOGIN "' + b"\\" * 20_000 + b'" "x"\r\n2 NOOP\r\n',
    "an exchange of garbage": b"1 AUTHENTICATE PLAIN\r\n!!!\r\n2 AUTHENTICATE LOGIN\r\n\0\r\n\0\r\n3 NOOP\r\n",
    "exchanges that are cancelled": b"1 AUTHENTICATE PLAIN\r\n*\r\n" * 500 + b"2 LOGOUT\r\n",
    "what a server says": b"* OK\r\n+ go\r\n* BYE\r\n1 OK x\r\n",
    "IDLE, and no DONE": b"1 IDLE\r\n2 NOOP\r\n3 NOOP\r\n",
    "UID of nothing": b"1 UID\r\n2 UID UID UID\r\n3 UID XYZ\r\n",
}


def converse(port: int, evil: bytes, *, resets: bool = False) -> bytes:
    """Send *evil* and then nothing more; all that the server has answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        heard = client.recv(4096)  # its greeting
        if resets:
            with contextlib.suppress(OSError):
                client.settimeout(0.2)  # of a server that does not read any more
                client.sendall(evil)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return heard
        sender = threading.Thread(target=_send, args=(client, evil))
        sender.start()
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                heard += data
        sender.join(PATIENCE)
        return heard


def _send(client: socket.socket, evil: bytes) -> None:
    with contextlib.suppress(OSError):  # the server may have had enough
        client.sendall(evil)
        client.shutdown(socket.SHUT_WR)
