"""Real servers of twisted.mail on loopback: SMTP, POP3 and IMAP for alice, as people write them.

One reactor runs in a thread for all tests of a process, for it cannot be started twice.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import trustme
from OpenSSL import SSL
from twisted.cred import checkers, credentials, portal
from twisted.internet import defer, error, reactor, threads
from twisted.internet.protocol import Factory
from twisted.internet.ssl import ContextFactory
from twisted.mail import imap4, pop3, smtp
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer  # type: ignore[import-untyped] # it has none

AUTHORITY = trustme.CA()
SECRET = b"CanaryPassw0rd-7f3a/?=x"
PASSWORD = SECRET.decode()
MESSAGE = b"Subject: hi\r\n\r\nhello\r\n.stuffed\r\n"
loop: Any = reactor


class Boom(Exception):
    """What the application raises when it is told to."""


def running() -> None:
    """Run the reactor, unless it runs."""
    if loop.running:
        return
    started = threading.Event()
    loop.callWhenRunning(started.set)
    thread = threading.Thread(target=loop.run, kwargs={"installSignalHandlers": False}, daemon=True)
    thread.start()
    started.wait(10)

    @atexit.register
    def stop() -> None:
        loop.callFromThread(loop.stop)
        thread.join(10)


def in_reactor(function: Callable[..., Any], *args: Any) -> Any:
    """Call *function* in the reactor's thread; wait for what it returns, or its Deferred comes to."""
    running()
    return threads.blockingCallFromThread(loop, function, *args)


class TLS(ContextFactory):
    """A server's certificate."""

    def __init__(self, version: int | None = None) -> None:
        issued = AUTHORITY.issue_cert("127.0.0.1", "localhost")
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        with issued.private_key_and_cert_chain_pem.tempfile() as path:
            self.context.use_certificate_chain_file(path)
            self.context.use_privatekey_file(path)
        if version is not None:
            self.context.set_max_proto_version(version)

    def getContext(self) -> Any:
        return self.context


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


# The application.


class Checker(checkers.InMemoryUsernamePasswordDatabaseDontUse):
    """Knows alice; it says so at once, or when `release` is called."""

    def __init__(self) -> None:
        super().__init__()
        self.addUser(b"alice", SECRET)
        self.addUser(b"bob", SECRET)
        self.late = False
        self.raises: Exception | None = None
        self.waiting: list[tuple[Any, Any]] = []
        self.seen: Callable[[], Any] = lambda: None  # called where it is asked

    def requestAvatarId(self, c: Any) -> Any:
        self.seen()
        if self.raises is not None:
            raise self.raises
        if not self.late:
            return super().requestAvatarId(c)
        waits: Any = defer.Deferred()
        self.waiting.append((waits, c))
        return waits

    def release(self, index: int = 0) -> None:
        """Answer the login that waits as the *index*-th one."""
        waits, asked = self.waiting.pop(index)
        super().requestAvatarId(asked).chainDeferred(waits)


class Message:
    """A message that is being delivered."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)

    def eomReceived(self) -> Any:
        if b"boom" in self.lines:
            return defer.fail(Boom(f"with {PASSWORD}"))
        if b"refused" in self.lines:
            return defer.fail(smtp.SMTPServerError(550, b"no"))
        self.server.messages.append(self.lines)
        return defer.succeed(None)

    def connectionLost(self) -> None:
        self.server.lost += 1


@implementer(smtp.IMessageDelivery)
class Delivery:
    """Takes mail for everybody but nobody@, late for late@, and raises for boom@."""

    def __init__(self, server: Any) -> None:
        self.server = server

    def receivedHeader(self, helo: Any, origin: Any, recipients: Any) -> bytes:
        return b"Received: by example"

    def validateFrom(self, helo: Any, origin: Any) -> Any:
        self.server.saw()
        if bytes(origin).startswith(b"late@"):
            return self.server.later(origin)
        return origin

    def validateTo(self, user: Any) -> Any:
        address = bytes(user.dest)
        if address.startswith(b"nobody@"):
            raise smtp.SMTPBadRcpt(user)
        if address.startswith(b"boom@"):
            raise Boom(f"with {PASSWORD}")
        return lambda: Message(self.server)


class Maildrop(pop3.Mailbox):
    """Two messages."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.messages = [MESSAGE, MESSAGE * 2]
        self.deleted: list[int] = []

    def listMessages(self, index: Any = None) -> Any:
        self.server.saw()
        sizes = [len(message) for message in self.messages]
        found = sizes if index is None else sizes[index]
        return self.server.later(found) if self.server.slow else found

    def getMessage(self, index: int) -> Any:
        return io.BytesIO(self.messages[index].replace(b"\r\n", b"\n"))  # as files have it

    def getUidl(self, index: int) -> bytes:
        return b"uid%d" % index

    def deleteMessage(self, index: int) -> None:
        self.server.saw()
        self.deleted.append(index)

    def undeleteMessages(self) -> None:
        self.deleted.clear()

    def sync(self) -> None:
        pass


@implementer(imap4.IMessage)
class Mail:
    """A message in a mailbox."""

    def getUID(self) -> int:
        return 7

    def getFlags(self) -> list[str]:
        return ["\\Seen"]

    def getInternalDate(self) -> str:
        return "01-Jan-2026 00:00:00 +0000"

    def getHeaders(self, negate: bool, *names: str) -> dict[str, str]:
        return {"subject": "hi"}

    def getBodyFile(self) -> Any:
        return io.BytesIO(b"a9 OK forged\r\n" * 100)

    def getSize(self) -> int:
        return 1400

    def isMultipart(self) -> bool:
        return False

    def getSubPart(self, part: int) -> Any:
        raise IndexError(part)


@implementer(imap4.IMailbox)
class Mailbox:
    """One message; appending takes what comes."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.appended: list[bytes] = []

    getFlags = staticmethod(lambda: ["\\Seen"])
    getHierarchicalDelimiter = staticmethod(lambda: "/")
    getMessageCount = staticmethod(lambda: 1)
    getRecentCount = staticmethod(lambda: 0)
    getUnseenCount = staticmethod(lambda: 0)
    getUIDValidity = staticmethod(lambda: 1)
    getUIDNext = staticmethod(lambda: 8)
    getUID = staticmethod(lambda number: 7)
    isWriteable = staticmethod(lambda: True)
    destroy = staticmethod(lambda: None)
    expunge: Any = staticmethod(lambda: [])
    addListener = staticmethod(lambda listener: None)
    removeListener = staticmethod(lambda listener: None)

    def requestStatus(self, names: Any) -> Any:
        return imap4.statusRequestHelper(self, names)

    def addMessage(self, message: Any, flags: Any = (), date: Any = None) -> Any:
        self.appended.append(message.read())
        return defer.succeed(None)

    def store(self, messages: Any, flags: Any, mode: int, uid: bool) -> Any:
        raise Boom(f"with {PASSWORD}")

    def fetch(self, messages: Any, uid: bool) -> Any:
        self.server.saw()
        found = [(1, Mail())]
        return self.server.later(found) if self.server.slow else found


class Account(imap4.MemoryAccount):
    """INBOX, and what is made."""

    def __init__(self, server: Any) -> None:
        super().__init__("alice")
        self.server = server
        self.addMailbox("INBOX", Mailbox(server))

    def select(self, name: Any, rw: int = 1) -> Any:
        if name == "boom":
            raise Boom(f"with {PASSWORD}")
        return super().select(name, rw)

    def _emptyMailbox(self, name: str, id: int) -> Any:
        return Mailbox(self.server)


class Realm:
    """Gives everybody what the protocol wants."""

    AVATARS: ClassVar[dict[Any, Any]] = {
        smtp.IMessageDelivery: Delivery,
        pop3.IMailbox: Maildrop,
        imap4.IAccount: Account,
    }

    def __init__(self, server: Any) -> None:
        self.server = server

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        interface = next(wanted for wanted in interfaces if wanted in self.AVATARS)
        return interface, self.AVATARS[interface](self.server), self.server.logged_out


CHALLENGERS: dict[bytes, Any] = {
    b"CRAM-MD5": credentials.CramMD5Credentials,
    b"LOGIN": imap4.LOGINCredentials,
    b"PLAIN": imap4.PLAINCredentials,
}


class ESMTPServer(smtp.ESMTP):
    """ESMTP, with all mechanisms."""

    def __init__(self) -> None:
        super().__init__(dict(CHALLENGERS), TLS())


class POP3Server(pop3.POP3):
    """POP3; Twisted has no STLS, so it is made as people make it."""

    AUTH_CMDS = [*pop3.POP3.AUTH_CMDS, b"STLS"]  # noqa: RUF012 # as the library has it

    def listCapabilities(self) -> list[bytes]:
        return [*super().listCapabilities(), b"STLS"]

    def do_STLS(self) -> None:
        self.successResponse(b"begin")
        transport: Any = self.transport
        transport.startTLS(TLS())


class IMAPServer(imap4.IMAP4Server):
    """IMAP, with all mechanisms."""

    def __init__(self) -> None:
        super().__init__(dict(CHALLENGERS), None)

    def capabilities(self) -> Any:
        found = super().capabilities()
        found.pop(b"LOGINDISABLED", None)
        return found


class ServerFactory(Factory):
    """Makes a protocol for each connection; POP3 looks here for mechanisms."""

    noisy = False

    def __init__(self, server: Server, protocol: Any) -> None:
        self.server = server
        self.protocol = protocol
        self.challengers = {b"CRAM-MD5": credentials.CramMD5Credentials}

    def buildProtocol(self, addr: Any) -> Any:
        made: Any = self.protocol()  # type: ignore[misc]
        made.factory = self
        made.portal = self.server.portal
        made.server = self.server
        self.server.protocols.append(made)
        return made


class Server:
    """A running server, and clients for it."""

    def __init__(self) -> None:
        self.checker = Checker()
        realm: Any = Realm(self)
        asked: Any = self.checker
        self.portal = portal.Portal(realm, [asked])
        self.protocols: list[Any] = []
        self.messages: list[Any] = []
        self.lost = 0  # messages whose connection was lost
        self.logouts = 0
        self.slow = False
        self.waiting: list[tuple[Any, Any]] = []
        self.saw: Callable[[], Any] = lambda: None  # called where the application is
        self.address: Any = None

    def logged_out(self) -> None:
        self.logouts += 1

    def later(self, result: Any) -> Any:
        """A Deferred that `release` fires."""
        waits: Any = defer.Deferred()
        self.waiting.append((waits, result))
        return waits

    def release(self, index: int = 0) -> None:
        waits, result = self.waiting.pop(index)
        in_reactor(waits.callback, result)

    def release_login(self, index: int = 0) -> None:
        in_reactor(self.checker.release, index)

    @property
    def port(self) -> int:
        return int(self.address[1])

    def connect(self, header: bytes = b"") -> Client:
        connection = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        connection.settimeout(10)
        connection.connect(self.address)
        connection.sendall(header)
        return Client(connection)


class Client:
    """Speaks raw lines, so that the bytes on the wire are the test's own."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.address = connection.getsockname()
        self._file = connection.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_line(self) -> bytes:
        return self._file.readline().rstrip(b"\r\n")

    def read_to(self, *starts: bytes) -> bytes:
        """Lines up to one that begins with one of *starts*; b"" at the end of the connection."""
        while True:
            line = self.read_line()
            if not line or line.startswith(starts):
                return line

    def command(self, line: bytes) -> bytes:
        """Send *line*, read one line."""
        self.send(line + b"\r\n")
        return self.read_line()

    def smtp(self, line: bytes) -> bytes:
        """Send *line*, read the last line of the reply."""
        reply = self.command(line)
        while reply[3:4] == b"-":
            reply = self.read_line()
        return reply

    def imap(self, line: bytes) -> bytes:
        """Send *line*, read to what ends it or asks for more."""
        self.send(line + b"\r\n")
        return self.read_to(line.split(None, 1)[0] + b" ", b"+", b"* BAD")

    def encrypt(self) -> None:
        self.socket = client_context().wrap_socket(self.socket, server_hostname="127.0.0.1")
        self._file = self.socket.makefile("rb")

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@contextlib.contextmanager
def serving(
    protocol: Any,
    *,
    tls: Any = None,
    proxied: bool = False,
    path: str | None = None,
    wrapper: Any = lambda factory: factory,
    listen: Any = lambda factory: loop.listenTCP(0, factory, interface="127.0.0.1"),
) -> Iterator[Server]:
    """Serve *protocol* on a free port of loopback, or on the unix socket *path*."""
    running()
    server = Server()
    factory: Any = ServerFactory(server, protocol)
    if tls is not None:
        factory = TLSMemoryBIOFactory(tls, False, factory)
    if proxied:
        factory = HAProxyWrappingFactory(factory)
    if path is not None:
        port = in_reactor(loop.listenUNIX, path, wrapper(factory))
        server.address = path
    else:
        port = in_reactor(listen, wrapper(factory))
        server.address = ("127.0.0.1", port.getHost().port)
    try:
        yield server
    finally:
        in_reactor(port.stopListening)
        in_reactor(_drop, server)


def _drop(server: Server) -> None:
    for protocol in server.protocols:
        transport: Any = protocol.transport
        with contextlib.suppress(AttributeError, error.ConnectionDone):
            transport.abortConnection()
