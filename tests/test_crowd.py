"""A hundred POP3 and a hundred IMAP sessions at once, every fifth of them reset: nothing mixed, nothing left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sessionspan import handler_session, own, stream_session
from sessionspan.testing import Recorder
from tests import kit_crowd
from tests.kit_imap import IMAPHandler, serve_imap
from tests.kit_servers import POP3Handler, serve_pop3, serving, streams


@pytest.fixture(autouse=True)
def recorded(recorder: Recorder) -> Iterator[None]:
    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider, recorder.meter_provider)
    yield
    own.SCOPE.unbind()


def of_its_own(handler: Any) -> Any:
    return type(handler.__name__, (handler,), {})


def test_on_asyncio(recorder: Recorder) -> None:
    pop3, imap = stream_session("pop3")(serve_pop3), stream_session("imap")(serve_imap)
    with streams(pop3, backlog=200) as pop3_server, streams(imap, backlog=200) as imap_server:
        kit_crowd.speak(pop3_server.port, imap_server.port, recorder)
    kit_crowd.check(recorder)
    kit_crowd.check_nothing_is_left(recorder)


def test_on_socketserver(recorder: Recorder) -> None:
    pop3, imap = handler_session("pop3")(of_its_own(POP3Handler)), handler_session("imap")(of_its_own(IMAPHandler))
    with serving(pop3) as pop3_server, serving(imap) as imap_server:
        kit_crowd.speak(pop3_server.port, imap_server.port, recorder)
        pop3_server.errors.clear()  # the resets, with their tracebacks
        imap_server.errors.clear()
    kit_crowd.check(recorder)
    kit_crowd.check_nothing_is_left(recorder)
