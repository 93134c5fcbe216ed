"""Every way to send a password to a server, the mistaken ones too: the one table of them, per protocol.

For ``doctor --canary`` and for the tests. A way is what a client says, line by line, once it has been greeted (and
has said EHLO); each line may be several. Users are alice, whom servers let in, and bob, whom they do not.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Final, TypeAlias

Ways: TypeAlias = dict[str, list[bytes]]

STAMP: Final = b"<1896.697170952@canary.test>"  # RFC 1939 7: what a POP3 server says in its greeting
_b64: Final = base64.b64encode


def apop(secret: bytes) -> bytes:
    """The digest that proves *secret* to a POP3 server (RFC 1939 7): a credential, too."""
    return hashlib.md5(STAMP + secret).hexdigest().encode()


def cram(secret: bytes) -> bytes:
    """The digest that proves *secret* in CRAM-MD5 (RFC 2195 2)."""
    return hmac.new(secret, STAMP, "md5").hexdigest().encode()


def _exchanges(secret: bytes) -> Ways:
    """The exchanges by AUTH, which SMTP (RFC 4954) and POP3 (RFC 5034) have in common."""
    refused, accepted = _b64(b"\0bob\0" + secret), _b64(b"\0alice\0" + secret)
    bob, alice, encoded = _b64(b"bob"), _b64(b"alice"), _b64(secret)
    bearer = _b64(b"user=alice\x01auth=Bearer " + secret + b"\x01\x01")
    return {
        "PLAIN, refused": [b"AUTH PLAIN " + refused],
        "PLAIN, accepted": [b"AUTH PLAIN " + accepted],
        "PLAIN, refused after the challenge": [b"AUTH PLAIN", refused],
        "PLAIN, after the challenge": [b"AUTH PLAIN", accepted],
        "PLAIN, for somebody else": [b"AUTH PLAIN " + _b64(b"carol\0bob\0" + secret)],
        "PLAIN, not encoded": [b"AUTH PLAIN", secret],
        "PLAIN, not split": [b"AUTH PLAIN " + encoded],
        "PLAIN, in lower case": [b"auth plain " + refused],
        "PLAIN, a word too many": [b"AUTH PLAIN " + refused + b" " + secret],
        "PLAIN, twice": [b"AUTH PLAIN " + accepted, b"AUTH PLAIN " + accepted],
        "PLAIN, without a space": [b"AUTHPLAIN" + refused],
        "LOGIN, refused": [b"AUTH LOGIN", bob, encoded],
        "LOGIN, accepted": [b"AUTH LOGIN", alice, encoded],
        "LOGIN, user at once": [b"AUTH LOGIN " + bob, encoded],
        "LOGIN, not encoded": [b"AUTH LOGIN", b"bob", secret],
        "LOGIN, cancelled, password too late": [b"AUTH LOGIN", b"*", encoded],
        "LOGIN, garbage, password too late": [b"AUTH LOGIN", b"!!!", encoded, secret],
        "LOGIN, password again": [b"AUTH LOGIN", bob, encoded, encoded, encoded],
        "LOGIN, without a name": [b"AUTH LOGIN", b"", encoded],
        "LOGIN, with what is for PLAIN": [b"AUTH LOGIN " + refused, _b64(b"x")],
        "LOGIN, with what is for PLAIN as the name": [b"AUTH LOGIN", refused, _b64(b"x")],
        "CRAM-MD5, accepted": [b"AUTH CRAM-MD5", _b64(b"alice " + cram(secret))],
        "CRAM-MD5, refused": [b"AUTH CRAM-MD5", _b64(b"bob " + cram(secret))],
        "CRAM-MD5, with the password itself": [b"AUTH CRAM-MD5", _b64(b"bob " + secret)],
        "a bearer token": [b"AUTH XOAUTH2 " + bearer],
        "a bearer token, after the challenge": [b"AUTH XOAUTH2", bearer],
        "a bearer token, wrongly split": [b"AUTH XOAUTH2 " + _b64(b"user=b@x^Aauth=Bearer " + secret + b"^A^A")],
        "a bearer token, RFC 7628": [
            b"AUTH OAUTHBEARER " + _b64(b"n,a=bob@x,\x01auth=Bearer " + secret + b"\x01\x01")
        ],
        "an unknown mechanism": [b"AUTH X-NONE " + encoded],
        "as the mechanism": [b"AUTH " + encoded],
        "as a command": [secret, encoded, refused],
    }


def smtp(secret: bytes) -> Ways:
    """Every way to send *secret* to an SMTP server."""
    content = secret + b"\r\n" + _b64(secret) + b"\r\n."
    return _exchanges(secret) | {
        "to another protocol's command": [b"PASS " + secret, b"USER " + secret, b"LOGIN bob " + secret],
        "in a message": [b"MAIL FROM:<a@b.test>", b"RCPT TO:<c@d.test>", b"DATA", content],
    }


def pop3(secret: bytes) -> Ways:
    """Every way to send *secret* to a POP3 server, whose stamp is `STAMP`.

    But as a name: the name that was tried is told, and docs/security.md says so.
    """
    numbers = [verb + b" " + secret for verb in (b"RETR", b"LIST", b"UIDL", b"TOP", b"DELE", b"STAT", b"NOOP")]
    return _exchanges(secret) | {
        "PASS, accepted": [b"USER alice", b"PASS " + secret],
        "PASS, refused": [b"USER bob", b"PASS " + secret],
        "PASS, in lower case": [b"user bob", b"pass " + secret],
        "PASS, of two words": [b"USER bob", b"PASS correct " + secret],
        "PASS, without a name": [b"PASS " + secret],
        "PASS, twice": [b"USER alice", b"PASS " + secret, b"PASS " + secret],
        "PASS, without the word": [b"USER bob", secret],
        "PASS, at once": [b"USER bob\r\nPASS " + secret + b"\r\nSTAT"],
        "APOP, accepted": [b"APOP alice " + apop(secret)],
        "APOP, refused": [b"APOP bob " + apop(secret)],
        "APOP, with the password itself": [b"APOP bob " + secret],
        "APOP, without a name": [b"APOP " + apop(secret)],
        "as a number": numbers,
        "to another protocol's command": [b"1 LOGIN bob " + secret, b"LOGIN bob " + secret, b"ACCT " + secret],
    }


# What is to be looked for, besides the password itself.
DERIVED: Final[tuple[Callable[[bytes], bytes], ...]] = (apop, cram)
