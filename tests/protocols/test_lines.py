"""The bounded line reader."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sessionspan.protocols.lines import HELD_LIMIT, LINE_LIMIT, Lines


def read_all(lines: Lines) -> list[bytes]:
    found = []
    while (line := lines.next_line()) is not None:
        found.append(line)
    return found


def test_a_line_is_given_without_its_end() -> None:
    lines = Lines()
    lines.feed(b"EHLO x\r\nNOOP\nQU")
    assert read_all(lines) == [b"EHLO x", b"NOOP"]
    lines.feed(b"IT\r\n")
    assert read_all(lines) == [b"QUIT"]


@given(st.lists(st.binary(max_size=50)), st.integers(1, 7))
def test_any_chunking_gives_the_same_lines(parts: list[bytes], size: int) -> None:
    data = b"\n".join(parts)
    whole, pieces = Lines(), Lines()
    whole.feed(data)
    expected, found = read_all(whole), []
    for start in range(0, len(data), size):
        pieces.feed(data[start : start + size])
        found += read_all(pieces)
    assert found == expected


def test_an_endless_line_is_cut_and_the_next_one_is_read() -> None:
    lines = Lines()
    for _ in range(100):
        lines.feed(b"x" * 10_000)
        assert lines.next_line() is None
    lines.feed(b"tail\r\nNOOP\r\n")
    assert read_all(lines) == [b"x" * LINE_LIMIT, b"NOOP"]
    assert not lines.overflowed


def test_what_nobody_reads_is_bounded_and_said() -> None:
    lines = Lines()
    for _ in range(100):
        lines.feed(b"y" * 10_000)
    assert lines.overflowed
    assert len(lines.take()) <= HELD_LIMIT + LINE_LIMIT
