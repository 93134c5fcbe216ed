"""`session`: a session for a server or client that people wrote themselves, in one ``with`` statement."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from opentelemetry.context import attach, detach

from sessionspan import own
from sessionspan.addresses import UNKNOWN, Address, address_of
from sessionspan.guard import guard
from sessionspan.session import Session, Side


class session:
    """Open a session for the block, and make it the current one.

    ``with session("SMTP", peer=addr) as s:`` or ``async with``. *protocol* is a name in capitals (SMTP, IMAP,
    POP3, JMAP, ...); *peer* is what the socket says of the other end, an address tuple or an IP address;
    *local* is the near end; *server* is the server as a client asked for it. *side* is "server" or "client". An
    exception that leaves the block is recorded and goes on.
    """

    def __init__(
        self, protocol: str, *, peer: Any = None, local: Any = None, server: Any = None, side: str = "server"
    ) -> None:
        self._protocol = protocol
        self._side = Side(side)
        self._peer = _address(peer)
        self._local = _address(local)
        self._server = _address(server)
        self._session: Session | None = None

    def __enter__(self) -> Session:
        self._session = Session(
            own.scope(),
            self._protocol.upper(),
            side=self._side,
            peer=self._peer,
            local=self._local,
            server=self._server,
        )
        with guard:
            self._session.start()
        self._token = attach(self._session.context)
        return self._session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        detach(self._token)
        assert self._session is not None
        if isinstance(error, Exception):
            self._session.failed(error)
            self._session.cause("handler_error")
        self._session.end("local_close")

    async def __aenter__(self) -> Session:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def _address(peer: Any) -> Address:
    return address_of((peer, 0))._replace(port=None) if isinstance(peer, str) and peer else _of_socket(peer)


def _of_socket(peer: Any) -> Address:
    return UNKNOWN if peer is None else address_of(peer)
