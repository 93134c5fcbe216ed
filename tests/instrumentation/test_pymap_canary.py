"""No credential leaves pymap's sessions: every way to send one, searched for in every exported byte."""

from __future__ import annotations

import contextlib
import hmac
import logging
from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from pymap.config import IMAPConfig
from pymap.imap import IMAPServer
from pymap.sieve.manage import ManageSieveServer
from pysasl import SASLAuth

from sessionspan import settings
from sessionspan.testing import Recorder
from tests.canary import found_in
from tests.exported import Exported
from tests.instrumentation.kit_pymap import B64, SECRET, instrumented_pymap, serving

MECHANISMS = [b"PLAIN", b"LOGIN", b"CRAM-MD5", b"XOAUTH2"]


@pytest.fixture
def exported(recorder: Recorder) -> Iterator[Exported]:
    """All of pymap's logging at DEBUG goes to OTel, as with opentelemetry-instrumentation-logging."""
    kept = Exported()
    recorder.logger_provider.add_log_record_processor(kept)
    handler = LoggingHandler(logger_provider=recorder.logger_provider)
    logger = logging.getLogger("pymap")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    with instrumented_pymap(recorder):
        yield kept
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def mechanisms(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site's configuration may offer more mechanisms than the default one."""
    monkeypatch.setattr(IMAPConfig, "tls_auth", property(lambda self: SASLAuth.named(MECHANISMS)))


SIZE = len(SECRET)
GOOD, BAD = B64(b"\0alice\0" + SECRET), B64(b"\0bob\0" + SECRET)
DIGEST = hmac.new(SECRET, b"<1.2@x>", "md5").hexdigest().encode()
TOKEN = b"user=bob\x01auth=Bearer " + SECRET + b"\x01\x01"
IMAP: dict[str, bytes] = {
    "login, accepted": b"1 LOGIN alice " + SECRET,
    "login, refused": b"1 LOGIN bob " + SECRET,
    "login, quoted": b'1 LOGIN "bob" "' + SECRET + b'"',
    "login, quote not closed": b'1 LOGIN "bob" "' + SECRET,
    "login, literals": b"1 LOGIN {3+}\r\nbob {%d+}\r\n" % SIZE + SECRET,
    "login, literal without a wait": b"1 LOGIN bob {%d}\r\n" % SIZE + SECRET,
    "login, literal too short": b"1 LOGIN bob {3+}\r\n" + SECRET,
    "login, literal too long": b"1 LOGIN bob {%d+}\r\n" % (SIZE + 2) + SECRET + b"\r\n",
    "login, password only": b"1 LOGIN " + SECRET,
    "login, password only, quoted": b'1 LOGIN "' + SECRET + b'"',
    "login, password only, literal": b"1 LOGIN {%d+}\r\n" % SIZE + SECRET,
    "login, twice": b"1 LOGIN alice " + SECRET + b"\r\n2 LOGIN alice " + SECRET,
    "login without a tag": b"LOGIN bob " + SECRET,
    "plain, accepted": b"1 AUTHENTICATE PLAIN\r\n" + GOOD,
    "plain, refused": b"1 AUTHENTICATE PLAIN\r\n" + BAD,
    "plain, initial": b"1 AUTHENTICATE PLAIN " + GOOD,
    "plain, initial as literal": b"1 AUTHENTICATE PLAIN {%d+}\r\n" % len(BAD) + BAD,
    "plain, with authzid": b"1 AUTHENTICATE PLAIN\r\n" + B64(b"carol\0bob\0" + SECRET),
    "plain, malformed": b"1 AUTHENTICATE PLAIN\r\n" + SECRET,
    "plain, not split": b"1 AUTHENTICATE PLAIN\r\n" + B64(SECRET),
    "plain, cancelled, password too late": b"1 AUTHENTICATE PLAIN\r\n*\r\n" + GOOD,
    "plain, again": b"1 AUTHENTICATE PLAIN\r\n" + BAD + b"\r\n" + BAD,
    "login mechanism": b"1 AUTHENTICATE LOGIN\r\n" + B64(b"bob") + b"\r\n" + B64(SECRET),
    "login mechanism, plain text": b"1 AUTHENTICATE LOGIN\r\nbob\r\n" + SECRET,
    "login mechanism, initial": b"1 AUTHENTICATE LOGIN " + B64(b"bob") + b"\r\n" + B64(SECRET),
    "cram-md5": b"1 AUTHENTICATE CRAM-MD5\r\n" + B64(b"bob " + DIGEST),
    "cram-md5, the password": b"1 AUTHENTICATE CRAM-MD5\r\n" + B64(b"bob " + SECRET),
    "cram-md5, initial": b"1 AUTHENTICATE CRAM-MD5 " + B64(b"bob " + DIGEST),
    "xoauth2": b"1 AUTHENTICATE XOAUTH2\r\n" + B64(TOKEN),
    "xoauth2, initial": b"1 AUTHENTICATE XOAUTH2 " + B64(TOKEN),
    "xoauth2, malformed": b"1 AUTHENTICATE XOAUTH2\r\n" + B64(SECRET),
    "unknown mechanism": b"1 AUTHENTICATE X-NONE " + B64(SECRET),
    "the mechanism is the password": b"1 AUTHENTICATE " + B64(SECRET),
    "a bare password": SECRET + b"\r\n" + B64(SECRET),
    "the tag is the password": SECRET + b" NOOP\r\n" + SECRET + b" LOGIN bob x",
    "the command is the password": b"1 " + SECRET + b"\r\n1 UID " + SECRET,
    "password as argument": b"1 SELECT " + SECRET + b"\r\n2 APPEND x {%d+}\r\n" % SIZE + SECRET,
    "password in idle": b"0 LOGIN alice " + SECRET + b"\r\n1 SELECT INBOX\r\n2 IDLE\r\n" + SECRET,
}
QUOTED_GOOD, QUOTED_BAD = b'"' + GOOD + b'"', b'"' + BAD + b'"'
LITERAL = b"{%d+}\r\n" % len(BAD) + BAD
MANAGESIEVE: dict[str, bytes] = {
    "plain, accepted": b'AUTHENTICATE "PLAIN" ' + QUOTED_GOOD,
    "plain, refused": b'AUTHENTICATE "PLAIN" ' + QUOTED_BAD,
    "plain, initial as literal": b'AUTHENTICATE "PLAIN" ' + LITERAL,
    "plain, initial as literal that waits": b'AUTHENTICATE "PLAIN" {%d}\r\n' % len(BAD) + BAD,
    "plain, initial as atom": b'AUTHENTICATE "PLAIN" ' + BAD,
    "plain, initial not closed": b'AUTHENTICATE "PLAIN" "' + BAD,
    "plain, no spaces": b'AUTHENTICATE"PLAIN"' + QUOTED_BAD,
    "plain, literal too short": b'AUTHENTICATE "PLAIN" {3+}\r\n' + BAD,
    "plain, literal too long": b'AUTHENTICATE "PLAIN" {%d+}\r\n' % (len(BAD) + 2) + BAD,
    "plain, in two steps": b'AUTHENTICATE "PLAIN"\r\n' + QUOTED_GOOD,
    "plain, in two steps, literal": b'AUTHENTICATE "PLAIN"\r\n' + LITERAL,
    "plain, in two steps, bare": b'AUTHENTICATE "PLAIN"\r\n' + BAD,
    "plain, mechanism as atom": b"AUTHENTICATE PLAIN " + QUOTED_BAD + b"\r\n" + QUOTED_BAD,
    "plain, mechanism as literal": b"AUTHENTICATE {5+}\r\nPLAIN " + LITERAL,
    "plain, with authzid": b'AUTHENTICATE "PLAIN" "' + B64(b"carol\0bob\0" + SECRET) + b'"',
    "plain, malformed": b'AUTHENTICATE "PLAIN" "' + SECRET + b'"',
    "plain, not split": b'AUTHENTICATE "PLAIN" "' + B64(SECRET) + b'"',
    "plain, cancelled, password too late": b'AUTHENTICATE "PLAIN"\r\n"*"\r\n' + QUOTED_GOOD,
    "plain, twice": b'AUTHENTICATE "PLAIN" ' + QUOTED_GOOD + b'\r\nAUTHENTICATE "PLAIN" ' + QUOTED_GOOD,
    "login": b'AUTHENTICATE "LOGIN"\r\n"' + B64(b"bob") + b'"\r\n"' + B64(SECRET) + b'"',
    "login, initial": b'AUTHENTICATE "LOGIN" "' + B64(b"bob") + b'"\r\n"' + B64(SECRET) + b'"',
    "login, literals": b'AUTHENTICATE "LOGIN"\r\n{4+}\r\n'
    + B64(b"bob")
    + b"\r\n{%d+}\r\n" % len(B64(SECRET))
    + B64(SECRET),
    "login, plain text": b'AUTHENTICATE "LOGIN"\r\n"bob"\r\n"' + SECRET + b'"',
    "cram-md5": b'AUTHENTICATE "CRAM-MD5"\r\n"' + B64(b"bob " + DIGEST) + b'"',
    "cram-md5, the password": b'AUTHENTICATE "CRAM-MD5"\r\n"' + B64(b"bob " + SECRET) + b'"',
    "cram-md5, initial": b'AUTHENTICATE "CRAM-MD5" "' + B64(b"bob " + DIGEST) + b'"',
    "xoauth2": b'AUTHENTICATE "XOAUTH2"\r\n"' + B64(TOKEN) + b'"',
    "xoauth2, initial": b'AUTHENTICATE "XOAUTH2" "' + B64(TOKEN) + b'"',
    "xoauth2, literal": b'AUTHENTICATE "XOAUTH2" {%d+}\r\n' % len(B64(TOKEN)) + B64(TOKEN),
    "xoauth2, malformed": b'AUTHENTICATE "XOAUTH2" "' + B64(SECRET) + b'"',
    "unknown mechanism": b'AUTHENTICATE "X-NONE" "' + B64(SECRET) + b'"',
    "the mechanism is the password": b'AUTHENTICATE "' + SECRET + b'"',
    "a bare password": SECRET + b"\r\n" + B64(SECRET) + b'\r\n"' + SECRET + b'"',
    "password as argument": b'SETACTIVE "' + SECRET + b'"\r\nNOOP "' + SECRET + b'"',
    "password in a script": b'AUTHENTICATE "PLAIN" '
    + QUOTED_GOOD
    + b'\r\nPUTSCRIPT "'
    + SECRET
    + b'" {%d+}\r\n' % (SIZE + 2)
    + b"# "
    + SECRET
    + b'\r\nGETSCRIPT "'
    + SECRET
    + b'"\r\nCHECKSCRIPT {%d+}\r\n' % SIZE
    + SECRET
    + b"\r\nLISTSCRIPTS",
}
CASES = [
    *[pytest.param(IMAPServer, IMAP[way], b"z LOGOUT", id=f"imap-{way}") for way in IMAP],
    *[
        pytest.param(ManageSieveServer, MANAGESIEVE[way], b"LOGOUT", id=f"managesieve-{way}")
        for way in MANAGESIEVE
    ],
]


@pytest.mark.usefixtures("mechanisms")
@pytest.mark.parametrize("capture", ["metadata", "content"])
@pytest.mark.parametrize(("kind", "way", "goodbye"), CASES)
def test_no_credential_leaves(
    recorder: Recorder,
    exported: Exported,
    kind: type[IMAPServer] | type[ManageSieveServer],
    way: bytes,
    goodbye: bytes,
    capture: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SESSIONSPAN_CAPTURE", capture)
    settings.reload()
    with serving(kind=kind, tls=False) as server:
        client = server.connect()
        client.read_line()
        client.send(way + b"\r\n" + goodbye + b"\r\n")
        client.socket.settimeout(0.2)
        with contextlib.suppress(OSError):
            client.read_to(b"z ", b"BYE")
        client.close()
        recorder.wait_for_session()
    wire = encode_spans(recorder.spans).SerializeToString() + encode_logs(exported.records).SerializeToString()
    assert b"session.end" in wire  # the haystack is the real one
    assert b"+++|" in wire
    assert found_in(wire, [SECRET, DIGEST]) == []
    assert found_in(recorder.everything().encode(), [SECRET, DIGEST]) == []


@pytest.mark.usefixtures("mechanisms", "exported")
@pytest.mark.parametrize("kind", [IMAPServer, ManageSieveServer])
@pytest.mark.parametrize(("way", "mechanism"), [("cram-md5", "CRAM-MD5"), ("xoauth2", "XOAUTH2")])
def test_the_name_of_each_exchange_is_heard(
    recorder: Recorder, kind: type[IMAPServer] | type[ManageSieveServer], way: str, mechanism: str
) -> None:
    with serving(kind=kind, tls=False) as server:
        client = server.connect()
        client.read_line()
        client.send((IMAP if kind is IMAPServer else MANAGESIEVE)[way] + b"\r\n")
        client.read_to(b"1 ", b"NO")
        client.close()
        recorder.wait_for_session()
    (failure,) = recorder.named("auth.failure")
    assert failure["sessionspan.auth.mechanism"] == mechanism
    assert failure["sessionspan.auth.user.name"] == "bob"


@pytest.mark.parametrize("logger", ["pymap.imap", "pymap.sieve.manage"])
def test_no_wire_log_of_the_library_is_exported(recorder: Recorder, exported: Exported, logger: str) -> None:
    logging.getLogger(logger).debug("%s -->| %s", 1, b"LOGIN alice secret")
    logging.getLogger("pymap.backend").debug("a line of another kind")
    assert [str(record.log_record.body) for record in exported.records] == ["a line of another kind"]
