"""What really made something fail: the exception that tells, below that of the library."""

from __future__ import annotations

import pytest

from sessionspan.devices.causes import Cause, cause_of, handled


class LibraryError(Exception):
    """What the library raises."""


LibraryError.__module__ = "library.errors"


class AuthenticationException(Exception):
    """A refused login."""


class SeveralAddresses(OSError):
    """As paramiko's NoValidConnectionsError."""

    def __init__(self, errors: dict[object, OSError]) -> None:
        super().__init__(None, "Unable to connect to port 22 on 192.0.2.1")
        self.errors = errors


def raised(inner: BaseException, *, of: type[Exception] = LibraryError) -> BaseException:
    try:
        try:
            raise inner
        except BaseException:
            raise of("\n\nSomething went wrong\n\nCheck everything")  # noqa: B904 - as libraries do
    except of as error:
        return error


def test_the_cause_is_what_the_library_caught() -> None:
    found = cause_of(raised(ConnectionRefusedError(111, "Connection refused")), "library")
    assert found == Cause("ConnectionRefusedError", "[Errno 111] Connection refused", False, True)


def test_a_library_that_says_it_itself_is_believed() -> None:
    found = cause_of(LibraryError("\n\nPattern not detected\nHints"), "library")
    assert found == Cause("library.errors.LibraryError", "Pattern not detected", False, False)


def test_of_several_addresses_the_first_tells() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    found = cause_of(raised(SeveralAddresses({("192.0.2.1", 22): refused})), "library")
    assert (found.type, found.message) == ("ConnectionRefusedError", "[Errno 111] Connection refused")


def test_a_refused_login_is_one_whatever_stands_above_it() -> None:
    found = cause_of(raised(AuthenticationException("Authentication failed.")), "library")
    assert found.of_login
    assert found.message == "Authentication failed."


def test_an_error_of_the_system_below_names_the_type() -> None:
    try:
        try:
            raise EOFError
        except EOFError:
            raise ValueError("Error reading banner")  # noqa: B904
    except ValueError as banner:
        found = cause_of(raised(banner), "library")
    assert (found.type, found.message) == ("EOFError", "Error reading banner")


def test_what_was_being_handled_before_is_no_cause() -> None:
    try:
        raise KeyError("of the application")
    except KeyError:
        before = handled()
        error = raised(ValueError("of the library"))
    assert cause_of(error, "library", before).type == "ValueError"
    assert isinstance(before, KeyError)


def test_a_chain_that_never_ends_is_cut() -> None:
    first, second = LibraryError("a"), LibraryError("b")
    first.__context__, second.__context__ = second, first
    assert cause_of(first, "library").message == "a"


@pytest.mark.parametrize("text", ["", "x" * 5000])
def test_a_text_is_one_line_of_bounded_length(text: str) -> None:
    assert len(cause_of(LibraryError(text), "library").message) <= 300
