"""A Controller connects to its own server once, in ``start()``: that is a session of nobody.

It is known by its own socket's address, not by being the first: a real client may connect at that moment.
The server may see the connection before ``create_connection`` has returned to the Controller's thread, so
while a probe is under way a new session waits with its start until the client says something, or goes.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Final

from sessionspan.addresses import Address, address_of
from sessionspan.session import Session

_KEPT: Final = 16  # addresses of probes that no session has claimed


class Probes:
    """The probes of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._in_thread = threading.local()
        self._addresses: dict[Address, None] = {}
        self._nameless = 0  # over unix sockets, whose client end has no address

    def renew(self) -> None:
        """This process is a fork, and the lock may be held by a thread that is not here."""
        self._lock = threading.Lock()
        self._under_way = 0

    def begin(self, controller: Any) -> None:
        """This thread probes the server of *controller*."""
        with self._lock:
            self._under_way += 1
            self._nameless += hasattr(controller, "unix_socket")
        self._in_thread.probes = True

    def end(self, controller: Any) -> None:
        """The probe has ended."""
        self._in_thread.probes = False
        with self._lock:
            self._under_way -= 1

    def connected(self, socket: Any, *args: Any, **kwargs: Any) -> None:
        """``create_connection`` made *socket*; when a probe asked for it, its address is noted."""
        if getattr(self._in_thread, "probes", False):
            with self._lock:
                self._addresses[address_of(socket.getsockname())] = None
                while len(self._addresses) > _KEPT:
                    del self._addresses[next(iter(self._addresses))]

    def may_be(self, session: Session) -> bool:
        """Whether *session*, which has just connected, may turn out to be a probe."""
        return self._under_way > 0 or session.peer in self._addresses

    def claim(self, session: Session) -> bool:
        """Whether *session*, which has ended, was a probe: its address is one's, and it said nothing."""
        if session.started:
            return False
        with self._lock:
            if session.peer in self._addresses:
                del self._addresses[session.peer]
                return True
            if session.peer.host is None and self._nameless > 0:
                self._nameless -= 1
                return True
        return False


probes: Final = Probes()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=probes.renew)
