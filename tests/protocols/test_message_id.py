"""The Message-ID of a message that comes by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionspan.protocols.message_id import WINDOW, MessageIdFinder


@pytest.mark.parametrize("size", [1, 3, 100_000])
@pytest.mark.parametrize(
    ("message", "found"),
    [
        (b"Message-ID: <a@b>\r\n\r\nbody", "a@b"),
        (b"From: x\r\nMESSAGE-id:<a@b>\r\n\r\n", "a@b"),
        (b"Message-ID:\r\n <a@b>\r\n\r\n", "a@b"),
        (b"Message-ID:\r\n\t\r\n <a@b>\r\n\r\n", "a@b"),
        (b"Message-ID: <a@b>\n\n", "a@b"),
        (b"Message-ID: (comment) <a@b> more\r\n", "a@b"),
        (b"Message-ID: <first@b>\r\nMessage-ID: <second@b>\r\n", "first@b"),
        (b"Message-ID: <\xe4\xff@b>\r\n", "\\xe4\\xff@b"),
        (b"Message-ID: <" + b"a" * 400 + b">\r\n", "a" * 255),
        (b"Message-ID: none\r\nMessage-ID: <second@b>\r\n", None),
        (b"Message-ID: <a@b>", None),  # a line without an end may go on
        (b"Subject: x\r\n Message-ID: <folded@b>\r\n\r\n", None),
        (b"X-Message-ID: <a@b>\r\n\r\n", None),
        (b"Resent-Message-ID: <a@b>\r\n\r\n", None),
        (b"Subject: x\r\n\r\nMessage-ID: <body@b>\r\n", None),
        (b"\r\nMessage-ID: <body@b>\r\n", None),
        (b"X: " + b"x" * WINDOW + b"\r\nMessage-ID: <late@b>\r\n", None),
        (b"X: x\r\n" * (WINDOW // 6 - 9) + b"Message-ID: <a@b>\r\n", "a@b"),
        (b"", None),
    ],
)
def test_the_id_is_found_in_the_header_alone(message: bytes, found: str | None, size: int) -> None:
    finder = MessageIdFinder()
    for start in range(0, len(message), size):
        finder.feed(message[start : start + size])
    assert finder.found == found


@given(st.lists(st.binary(max_size=300)))
def test_any_bytes_raise_nothing_and_keep_no_more_than_the_window(pieces: list[bytes]) -> None:
    finder = MessageIdFinder()
    for piece in pieces:
        finder.feed(piece * 20)
        assert len(finder._line) <= 1000
        assert len(finder._field) <= WINDOW
    assert finder.found is None or 0 < len(finder.found) <= 255
