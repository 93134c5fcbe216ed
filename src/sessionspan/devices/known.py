"""Credentials that are known, found wherever they stand: plain and in the forms in which devices repeat them."""

from __future__ import annotations

import base64
import json
import re
import shlex
import urllib.parse
from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from sessionspan.devices.places import Place

SHORT: Final = (
    4  # characters; what is shorter is found as a word of its own only, else it would hide half the text
)
_ENCODED: Final = 6  # characters of an encoded form from which it is no accident
_LONG: Final = 512  # characters from which a secret is a file: its lines are looked for, not its encodings
# What Cisco's "type 7" and its look-alikes are XORed with. It hides from a glance and is no encryption.
_TYPE_7: Final = b"dsfd;kfoA,.iyewrkldJKDHSUBsgvca69834ncxv9873254k;fg87"
_AFTER: Final = re.compile(r"[A-Za-z0-9+/_-]{0,6}={0,2}")
_BEFORE: Final = re.compile(r"[A-Za-z0-9+/_-]{0,3}$")


class Known:
    """One known secret, and how to find it."""

    __slots__ = ("_base64", "_plain", "_word")

    def __init__(self, secret: str) -> None:
        secret = secret.strip("\r\n")
        self._word: re.Pattern[str] | None = None
        self._plain: tuple[str, ...] = ()
        self._base64: tuple[str, ...] = ()
        if not secret.strip():
            return
        if len(secret) < SHORT:
            self._word = re.compile(rf"(?<![A-Za-z0-9_]){re.escape(secret)}(?![A-Za-z0-9_])")
            return
        forms = {secret, *_lines(secret)}
        if len(secret) <= _LONG:
            forms |= {form for form in _escaped(secret) if len(form) >= SHORT}
            forms |= {form for form in _encoded(secret) if len(form) >= _ENCODED}
            self._base64 = tuple({form for form in _in_base64(secret) if len(form) >= _ENCODED})
        self._plain = tuple(forms)

    def places(self, text: str) -> Iterator[Place]:
        """Where the secret stands in *text*."""
        for form in self._plain:
            if form in text:
                yield from _found(form, text)
        for form in self._base64:
            if form in text:
                # The letters beside it hold the rest of its first and last octets.
                yield from (_widened(place, text) for place in _found(form, text))
        if self._word is not None:
            for match in self._word.finditer(text):
                yield match.span()


def _found(form: str, text: str) -> Iterator[Place]:
    """Every place of *form*, also those that overlap."""
    at = text.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = text.find(form, at + 1)


def _widened(place: Place, text: str) -> Place:
    start, stop = place
    before, after = _BEFORE.search(text[max(0, start - 3) : start]), _AFTER.match(text, stop)
    return start - len(before[0] if before else ""), after.end() if after else stop


def _lines(secret: str) -> Iterator[str]:
    """The lines of a secret that has many (a private key): a cut may leave some of them."""
    lines = secret.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= 2 * SHORT)


def _escaped(secret: str) -> Iterator[str]:
    """As JSON, Python, XML, URLs and shells write it."""
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield escape(secret)
    yield escape(secret, {'"': "&quot;", "'": "&apos;"})
    yield escape(secret, {'"': "&quot;", "'": "&#39;"})
    yield urllib.parse.quote(secret, safe="", errors="replace")
    yield urllib.parse.quote(secret, errors="replace")
    yield urllib.parse.quote_plus(secret, errors="replace")
    yield shlex.quote(secret).strip("'")
    yield secret.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")


def _encoded(secret: str) -> Iterator[str]:
    """In hexadecimal digits, plain and as Cisco's type 7, with every seed that devices use."""
    octets = secret.encode(errors="replace")
    yield octets.hex()
    yield octets.hex().upper()
    for seed in range(16):
        hidden = bytes(octet ^ _TYPE_7[(seed + at) % len(_TYPE_7)] for at, octet in enumerate(octets)).hex()
        yield f"{seed:02}{hidden}"
        yield f"{seed:02}{hidden.upper()}"


def _in_base64(secret: str) -> Iterator[str]:
    """Alone, and inside of something longer (``user:password``), at each of the three alignments."""
    octets = secret.encode(errors="replace")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(octets).decode().rstrip("=")
        for shift in range(3):
            inside = encode(b"\0" * shift + octets).decode()
            yield inside[(0, 2, 3)[shift] : -4]
