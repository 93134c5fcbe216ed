"""OTel's logging handler beside an application's logging: what it exports, and what it must not silence."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.instrumentation.logging.handler import LoggingHandler

from sessionspan import current_session, exported_logs, own, session, stamping
from sessionspan.testing import Recorder

PEER = ("192.0.2.7", 40000)


@pytest.fixture(autouse=True)
def exporting(recorder: Recorder) -> Iterator[None]:
    """The application's records go to the recorder, as under the launcher."""
    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider)
    stamping.install()
    exported_logs.install()
    handler = LoggingHandler(logger_provider=recorder.logger_provider)
    logging.getLogger("shop").addHandler(handler)
    logging.getLogger("shop").setLevel(logging.INFO)
    yield
    logging.getLogger("shop").removeHandler(handler)
    logging.getLogger("shop").setLevel(logging.NOTSET)
    stamping.uninstall()
    own.SCOPE.unbind()


shop = logging.getLogger("shop")


def test_records_inside_a_session_carry_it(caplog: pytest.LogCaptureFixture) -> None:
    shop.info("before")
    with session("SMTP", peer=PEER) as s:
        shop.info("in")
        s.set_username("alice")
        shop.info("in, as alice")
    shop.info("after")
    stamps = [
        {key: vars(record).get(key) for key in ("session_id", "client_ip", "protocol", "username")}
        for record in caplog.records
    ]
    nothing = {"session_id": None, "client_ip": None, "protocol": None, "username": None}
    inside = {"session_id": s.id, "client_ip": "192.0.2.7", "protocol": "SMTP", "username": None}
    assert stamps == [nothing, inside, inside | {"username": "alice"}, nothing]


def test_records_are_stamped_without_any_sdk(caplog: pytest.LogCaptureFixture) -> None:
    own.SCOPE.bind()
    with session("SMTP", peer=PEER) as s:
        assert not s.listened_to
        shop.info("in")
        s.set_username("alice")
        shop.info("as alice")
    first, second = (vars(record) for record in caplog.records)
    assert (first["session_id"], first["client_ip"], first["protocol"]) == (s.id, "192.0.2.7", "SMTP")
    assert "username" not in first
    assert second["username"] == "alice"


def test_what_the_application_says_itself_is_never_overwritten_and_never_raises(
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = {"session_id": "1", "client_ip": "2", "protocol": "3", "username": "4"}
    with session("SMTP", peer=PEER):
        shop.info("own", extra=own)
    (record,) = caplog.records
    assert {key: vars(record)[key] for key in own} == own


def test_a_json_formatter_prints_the_line_of_the_session_log(caplog: pytest.LogCaptureFixture) -> None:
    with session("SMTP", peer=PEER) as s:
        s.set_username("alice@example.com")
        shop.info("User authenticated")
    (record,) = caplog.records
    shown = ("session_id", "client_ip", "protocol", "username")
    line = {"level": record.levelname, "message": record.getMessage()} | {k: vars(record)[k] for k in shown}
    assert json.loads(json.dumps(line)) == {
        "level": "INFO",
        "message": "User authenticated",
        "session_id": s.id,
        "client_ip": "192.0.2.7",
        "protocol": "SMTP",
        "username": "alice@example.com",
    }


def test_over_otlp_a_record_has_the_dotted_names_too_and_is_there_once(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    with session("SMTP", peer=PEER) as s:
        s.set_username("alice")
        shop.info("stored")
    (record,) = [log.log_record for log in recorder.logs]
    attributes = dict(record.attributes or {})
    assert record.body == "stored"
    assert attributes["session_id"] == attributes["sessionspan.session.id"] == s.id
    assert attributes["client_ip"] == attributes["client.address"] == "192.0.2.7"
    assert (attributes["protocol"], attributes["network.protocol.name"]) == ("SMTP", "smtp")
    assert attributes["username"] == attributes["user.name"] == "alice"
    span = recorder.wait_for_session()
    assert span.context is not None
    assert record.trace_id == span.context.trace_id
    # Other handlers see the plain names only.
    assert not [key for key in vars(caplog.records[0]) if "." in key]


def test_a_library_that_logs_while_it_is_stamped_is_no_loop() -> None:
    class Chatty(logging.Logger):
        def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
            if current_session() is not None and args[0] != "chatter":
                logging.getLogger("chatter").info("making a record")
            return super().makeRecord(*args, **kwargs)

    with session("SMTP", peer=PEER):
        assert vars(Chatty("x").makeRecord("x", 20, "f", 1, "m", (), None))["protocol"] == "SMTP"


@pytest.mark.parametrize(("level", "printed"), [("warning", True), ("info", False)])
def test_an_application_without_logging_set_up_still_sees_its_warnings(level: str, printed: bool) -> None:
    code = (
        "import logging; from sessionspan import exported_logs; exported_logs.install();"
        "from opentelemetry.instrumentation.logging.handler import LoggingHandler;"
        "logging.getLogger().addHandler(LoggingHandler());"
        f"logging.getLogger('app').{level}('mind the gap')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ("mind the gap" in done.stderr) is printed


def test_an_application_with_a_handler_of_its_own_sees_its_warnings_once() -> None:
    code = (
        "import logging; from sessionspan import exported_logs; exported_logs.install();"
        "from opentelemetry.instrumentation.logging.handler import LoggingHandler;"
        "logging.getLogger().addHandler(LoggingHandler());"
        "logging.getLogger('app').addHandler(logging.StreamHandler());"
        "logging.getLogger('app').warning('mind the gap')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("mind the gap") == 1
