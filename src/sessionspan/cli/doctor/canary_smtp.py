"""The canary's SMTP server: aiosmtpd, with an authenticator that quotes passwords, as careless ones do."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Final

from aiosmtpd.smtp import SMTP, AuthResult

_PATIENCE: Final = 5.0  # seconds


class _Handler:
    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        return "250 2.0.0 OK"


def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    """Accepts alice; refuses others, and its message quotes the password."""
    if data.login == b"alice":
        return AuthResult(success=True, auth_data=data)
    return AuthResult(success=False, handled=False, message=f"535 5.7.8 {data.password.decode()} is wrong")


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """Serve on a free port of loopback, and say which."""
    loop = asyncio.new_event_loop()

    def connection() -> SMTP:
        return SMTP(
            _Handler(), hostname="canary.test", loop=loop, auth_require_tls=False, authenticator=authenticate
        )

    server = loop.run_until_complete(loop.create_server(connection, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE)
