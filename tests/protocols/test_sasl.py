"""Who logs in, by mechanism; and that nothing else of an exchange is kept."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionspan.protocols.sasl import MECHANISMS, Exchange, Names, mechanism_name


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


@pytest.mark.parametrize(
    ("mechanism", "initial", "responses", "names"),
    [
        ("PLAIN", b"\0alice\0secret", [], Names("alice", "alice")),
        ("PLAIN", b"bob\0alice\0secret", [], Names("alice", "bob")),
        ("PLAIN", None, [b"\0alice\0secret"], Names("alice", "alice")),
        ("PLAIN", b"no separators", [], Names()),
        ("LOGIN", None, [b"alice", b"secret"], Names("alice", "alice")),
        ("LOGIN", b"alice", [b"secret"], Names("alice", "alice")),
        ("CRAM-MD5", None, [b"alice smith 0123456789abcdef"], Names("alice smith", "alice smith")),
        ("XOAUTH2", b"user=a@x.org\x01auth=Bearer secret\x01\x01", [], Names("a@x.org", "a@x.org")),
        ("OAUTHBEARER", b"n,a=a@x.org,\x01auth=Bearer secret\x01\x01", [], Names("a@x.org", "a@x.org")),
        ("SCRAM-SHA-256", b"n,,n=alice,r=nonce", [b"c=biws,r=secret"], Names("alice", "alice")),
        ("SCRAM-SHA-256", b"n,a=bob,n=alice,r=nonce", [], Names("alice", "bob")),
        ("EXTERNAL", b"alice", [], Names("alice", "alice")),
        ("NTLM", b"secret", [b"secret"], Names()),
        ("_OTHER", b"secret", [b"secret"], Names()),
    ],
)
def test_the_mechanism_shows_the_user(
    mechanism: str, initial: bytes | None, responses: list[bytes], names: Names
) -> None:
    exchange = Exchange(mechanism, b64(initial) if initial is not None else None)
    for response in responses:
        exchange.response(b64(response))
    assert exchange.names == names


@pytest.mark.parametrize(
    ("mechanism", "blob"),
    [
        ("LOGIN", b"\0alice\0secret"),
        ("CRAM-MD5", b"\0bob\0secret word"),
        ("XOAUTH2", b"user=bob@x^Aauth=Bearer secret^A^A"),
        ("XOAUTH2", b"user=bob@x\x01auth=Bearer secret"),
        ("OAUTHBEARER", b"n,a=bob@x\x01auth=Bearer secret\x01\x01"),
        ("EXTERNAL", b"bob\0secret"),
    ],
)
def test_a_response_to_another_mechanism_is_no_name(mechanism: str, blob: bytes) -> None:
    assert Exchange(mechanism, b64(blob)).names == Names()


def test_an_empty_name_is_not_followed_by_the_password() -> None:
    exchange = Exchange("LOGIN", None)
    exchange.challenge(b64(b"Benutzer"))
    exchange.response(b"")
    exchange.challenge(b64(b"Kennwort"))
    exchange.response(b64(b"secret"))
    assert exchange.names == Names()


def test_an_empty_initial_response_is_no_answer_yet() -> None:
    exchange = Exchange("PLAIN", b"=")
    exchange.response(b64(b"\0alice\0secret"))
    assert exchange.names.user == "alice"


def test_a_login_that_is_asked_for_the_password_first_shows_no_user() -> None:
    exchange = Exchange("LOGIN", None)
    exchange.challenge(b64(b"Password:"))
    exchange.response(b64(b"secret"))
    assert exchange.names == Names()


def test_a_mechanism_of_somebodys_own_is_other() -> None:
    assert mechanism_name(b"plain") == "PLAIN"
    assert mechanism_name(b"X-SECRET-WORD") == "_OTHER"
    assert mechanism_name(b"\xff\xfe") == "_OTHER"
    assert mechanism_name(b"") is None


@given(st.sampled_from([*sorted(MECHANISMS), "_OTHER"]), st.lists(st.binary()), st.booleans())
def test_no_response_at_all_raises(mechanism: str, responses: list[bytes], encoded: bool) -> None:
    exchange = Exchange(mechanism, None)
    for response in responses:
        exchange.challenge(response)
        exchange.response(b64(response) if encoded else response)
    assert all(name is None or len(name) <= 4 * 255 for name in exchange.names)
