"""Who logs in: the user name in a SASL exchange (RFC 4422), and nothing else of it.

A client's response is decoded for the name alone, and dropped at once. Of a mechanism that is not known
here nothing is decoded at all.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Final, NamedTuple

NAME_LIMIT: Final = 255  # characters of a name that are kept

# What may stand in `sessionspan.auth.mechanism`, a metric label: the IANA registry's names in use.
MECHANISMS: Final = frozenset(
    (
        "ANONYMOUS",
        "APOP",
        "CRAM-MD5",
        "DIGEST-MD5",
        "EXTERNAL",
        "GS2-KRB5",
        "GSSAPI",
        "KERBEROS_V4",
        "LOGIN",
        "NTLM",
        "OAUTHBEARER",
        "PLAIN",
        "SCRAM-SHA-1",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-256",
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-512",
        "XOAUTH2",
    )
)


class Names(NamedTuple):
    """The two names of a login: who proved an identity, and as whom the session acts."""

    user: str | None = None  # authentication identity
    acts_as: str | None = None  # authorization identity, or the same


def mechanism_name(text: bytes) -> str | None:
    """The name of a mechanism as a client wrote it, from the closed set; None when it wrote none."""
    name = text.decode("ascii", "replace").upper()
    return (name if name in MECHANISMS else "_OTHER") if name else None


class Exchange:
    """One exchange: feed it what the server asks and what the client answers."""

    __slots__ = ("_asks_for_password", "_read", "names")

    def __init__(self, mechanism: str | None, initial: bytes | None) -> None:
        self.names = Names()
        self._read = _READERS.get(mechanism or "")
        self._asks_for_password = False
        if initial is not None and initial.strip() != b"=":  # RFC 4954 4: an empty one, which says nothing
            self.response(initial)

    def challenge(self, text: bytes) -> None:
        """The server sent *text* (base64, RFC 4954 4)."""
        # AUTH LOGIN has no RFC: the first answer is the name, unless the server asks for the password.
        self._asks_for_password = b"pass" in (_decoded(text) or b"").lower()

    def response(self, line: bytes) -> None:
        """The client answered *line* (base64)."""
        read, self._read = self._read, None
        if read is None or self._asks_for_password:
            return
        data = _decoded(line)
        if data:
            self.names = read(data)


def _decoded(line: bytes) -> bytes | None:
    try:
        return base64.b64decode(line.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None


def _name(data: bytes) -> str | None:
    # No name holds control characters; what does is a response to another mechanism, with its secret in it.
    if any(byte < 0x20 or byte == 0x7F for byte in data):
        return None
    return data.decode("utf-8", "backslashreplace")[:NAME_LIMIT] or None


def _plain(data: bytes) -> Names:
    # RFC 4616 2: [authzid] NUL authcid NUL passwd
    parts = data.split(b"\0")
    if len(parts) != 3:
        return Names()
    user = _name(parts[1])
    return Names(user, _name(parts[0]) or user)


def _whole(data: bytes) -> Names:
    name = _name(data)
    return Names(name, name)


def _cram_md5(data: bytes) -> Names:
    # RFC 2195 2: user name, a space, the digest. The name itself may hold spaces.
    return _whole(data.rpartition(b" ")[0])


def _xoauth2(data: bytes) -> Names:
    if not data.endswith(b"\x01\x01"):
        return Names()
    for field in data.split(b"\x01"):
        if field.startswith(b"user="):
            return _whole(field[5:])
    return Names()


def _oauthbearer(data: bytes) -> Names:
    # RFC 7628 3.1: a GS2 header, then fields, each with a ^A behind it, and one more
    header, separator, _ = data.partition(b"\x01")
    return _gs2(header) if separator and data.endswith(b"\x01\x01") and header.endswith(b",") else Names()


def _gs2(data: bytes) -> Names:
    # RFC 5801 4: "n,a=authzid,"; after it RFC 5802 7 (SCRAM): "n=user,r=nonce"
    flag, _, rest = data.partition(b",")
    authzid, _, rest = rest.partition(b",")
    if flag[:1] not in (b"n", b"y", b"p"):
        return Names()
    acts_as = _name(authzid[2:]) if authzid.startswith(b"a=") else None
    user = None
    if rest.startswith(b"n="):
        user = _name(rest[2:].partition(b",")[0].replace(b"=2C", b",").replace(b"=3D", b"="))
    return Names(user or acts_as, acts_as or user)


_READERS: Final[dict[str, Callable[[bytes], Names]]] = {
    "PLAIN": _plain,
    "LOGIN": _whole,
    "CRAM-MD5": _cram_md5,
    "XOAUTH2": _xoauth2,
    "OAUTHBEARER": _oauthbearer,
    "SCRAM-SHA-1": _gs2,
    "SCRAM-SHA-1-PLUS": _gs2,
    "SCRAM-SHA-256": _gs2,
    "SCRAM-SHA-256-PLUS": _gs2,
    "SCRAM-SHA-512": _gs2,
    "EXTERNAL": _whole,
}
