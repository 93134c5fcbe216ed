"""Socket addresses as they go on the wire: one form per address, nothing where nothing is known."""

from __future__ import annotations

import functools
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple, TypeAlias

IPAddress: TypeAlias = IPv4Address | IPv6Address


class Address(NamedTuple):
    """One end of a connection: ``host`` is an IP address or a socket path; both None when unknown."""

    host: str | None = None
    port: int | None = None


UNKNOWN = Address()
_made = tuple.__new__  # of a named tuple at half the cost


def parse_ip(host: str) -> IPAddress | None:
    """*host* as an address: without zone, and IPv4-mapped IPv6 (RFC 4291 2.5.5.2) as IPv4."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@functools.lru_cache(maxsize=1024)
def _normal(host: str) -> str:
    """*host* in the one form in which it goes on the wire."""
    ip = parse_ip(host)
    return str(ip) if ip is not None else host


def address_of(name: Any) -> Address:
    """What a socket says of one end (``getpeername``, ``getsockname``, asyncio's ``peername``).

    Unix sockets give a path, or '' for an end without a name; tests of libraries give mocks: both
    unknown unless they say something.
    """
    if type(name) is tuple and len(name) >= 2 and type(name[0]) is str and type(name[1]) is int:
        return _made(Address, (_normal(name[0]), name[1]))  # how nearly all come
    if isinstance(name, (bytes, bytearray)):
        name = bytes(name).rstrip(b"\0").decode(errors="backslashreplace")
    if isinstance(name, str):
        return Address(name) if name else UNKNOWN
    if isinstance(name, tuple) and len(name) >= 2 and isinstance(name[0], str) and isinstance(name[1], int):
        return Address(_normal(name[0]), name[1])  # a named one
    return UNKNOWN


def ends_of(socket: Any) -> tuple[Address, Address]:
    """The peer's and our own address of *socket*; unknown where it cannot say (a proxy command, a closed one)."""
    try:
        return address_of(socket.getpeername()), address_of(socket.getsockname())
    except (OSError, AttributeError, TypeError):
        return UNKNOWN, UNKNOWN


def transport_of(peer: Address, local: Address) -> str:
    """``network.transport`` of a connection between these ends: a unix socket has a path and no ports."""
    return "unix" if peer.port is None and local.host is not None and local.port is None else "tcp"
