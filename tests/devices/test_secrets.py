"""The text of devices without its secrets: known ones, those that rules find, keys of many lines."""

from __future__ import annotations

import base64
import json
import logging
import string
import urllib.parse
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.secrets import corpus, measure
from sessionspan.devices import known
from sessionspan.devices.blocks import SECTIONS
from sessionspan.devices.grammar import Rule
from sessionspan.devices.places import without
from sessionspan.devices.rules import Rewrite, Rules, compiled
from sessionspan.devices.secrets import ADDED, UNREADABLE, Secrets
from sessionspan.devices.table import TABLE

SECRET = "Zq7kP2mXw9"
PEM = """-----BEGIN RSA PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: DES-EDE3-CBC,0123456789ABCDEF

c2VjcmV0IGtleSBtYXRlcmlhbCBzZWNyZXQga2V5IG1hdGVyaWFsIHNlY3JldCBr
ZXkgbWF0ZXJpYWwgc2VjcmV0IGtleSBtYXRlcmlhbCBzZWNyZXQga2V5IG1hdGVy
aWFs
-----END RSA PRIVATE KEY-----"""
EXAMPLES = [(rule, example) for rule in TABLE for example in rule.examples]


def shows(secret: str, redacted: str, template: str) -> bool:
    """Whether five characters of *secret* in a row are in *redacted* that are not the template's own."""
    parts = {secret[at : at + 5] for at in range(len(secret) - 4)}
    return any(part in redacted and part not in template for part in parts)


@pytest.mark.parametrize(("rule", "example"), EXAMPLES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_rule_finds_the_secret_of_its_own_examples(rule: Rule, example: str) -> None:
    text = example.replace("{secret}", SECRET)
    assert SECRET not in without(text, Rules([rule]).places(text))


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.pattern[:40])
def test_a_rule_says_the_words_without_which_it_finds_nothing(rule: Rule) -> None:
    pattern = compiled(rule.pattern)
    texts = [text for _, example in EXAMPLES for text in (example.replace("{secret}", SECRET),)]
    texts += [line.text for line in corpus()]
    for text in texts:
        if pattern.search(text):
            assert any(word in text.lower() for word in rule.words), text


def test_nothing_stands_behind_a_secret_in_a_pattern() -> None:
    """It would be looked for at every place in it: quadratic time, see test_hostile_text.py."""
    for rule in TABLE:
        assert "{secret}" not in rule.pattern[: -len("{secret}")]


# A first character that no shell and no parser takes for something else.
WORDS = st.tuples(
    st.sampled_from(string.ascii_letters + string.digits),
    st.text(string.ascii_letters + string.digits + "!@#$%^&*()_+=[]{}|:;./~-", min_size=8, max_size=40),
).map("".join)
PLAIN = st.text(string.ascii_letters + string.digits, min_size=9, max_size=40)


@settings(max_examples=25, deadline=None)
@given(st.data())
@pytest.mark.parametrize(("rule", "example"), EXAMPLES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_random_secret_in_a_line_of_any_template_never_shows(
    rule: Rule, example: str, data: st.DataObject
) -> None:
    # Formats (hashes, URLs, XML) have an alphabet of their own: letters and digits are in each.
    secret = data.draw(WORDS if rule.pattern.endswith("{secret}") else PLAIN)
    around = data.draw(st.sampled_from(["{}", "rtr1#{}", "x\n{}\r\ny", "ReadException: output='a\\n{}\\nb'"]))
    if around != "{}" and rule.vendor == "extreme_exos":
        around = "x\n{}\ny"
    template = around.format(example.replace("{secret}", "\0"))
    text = template.replace("\0", secret)
    assert not shows(secret, Secrets().redact(text), template)


def test_both_figures_hold() -> None:
    found = measure()
    assert found["corpus_lines"] >= 150
    assert found["platforms"] >= 15
    assert found["recall"] >= 0.97, found["missed"]
    assert found["false_positives"] <= 0.001, found["changed"]
    assert found["ordinary_lines"]["linux"] > 1_000
    assert found["ordinary_lines"]["fakenos"] > 30_000
    assert found["ordinary_lines"].get("frr", 501) > 500  # asked as root, where it is installed


# Credentials that are known.

DIFFICULT = "p\"w'\\0R d&<é$`"


@pytest.mark.parametrize(
    "written",
    [
        DIFFICULT,
        f"sent-username x {DIFFICULT} and on",
        json.dumps({"note": DIFFICULT})[len('{"note": ') :],
        repr(f"({DIFFICULT})"),
        f"<p>{escape(DIFFICULT)}</p>",
        urllib.parse.quote(DIFFICULT, safe=""),
        urllib.parse.quote_plus(DIFFICULT),
        base64.b64encode(DIFFICULT.encode()).decode(),
        base64.b64encode(b"a:" + DIFFICULT.encode()).decode(),
        base64.b64encode(b"ab:" + DIFFICULT.encode() + b"xyz").decode(),
        base64.urlsafe_b64encode(b"abc:" + DIFFICULT.encode()).decode(),
        DIFFICULT.encode().hex(),
        "0x" + DIFFICULT.encode().hex().upper(),
    ],
)
def test_a_known_secret_is_removed_in_every_form_that_it_is_repeated_in(written: str) -> None:
    redacted = Secrets([DIFFICULT]).redact(f"before {written} after")
    assert "***" in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    left = redacted.removeprefix("before ").removesuffix(" after")
    # Around a base64 form up to three characters of the user's name may stay.
    assert len(left.replace("***", "")) <= len("sent-username x  and on"), redacted
    for part in (DIFFICULT[:5], DIFFICULT[5:], urllib.parse.quote(DIFFICULT)[4:12], DIFFICULT.encode().hex()[:8]):
        assert part not in redacted


# Published with the scheme itself: every seed of type 7 for "cisco".
@pytest.mark.parametrize(
    "written", ["02050D480809", "121A0C041104", "094F471A1A0A", "0822455D0A16", "045802150C2E"]
)
def test_a_known_secret_is_removed_in_ciscos_type_7(written: str) -> None:
    assert Secrets(["cisco"]).redact(f"some-new-thing {written} x") == "some-new-thing *** x"
    assert Secrets(["cisco"]).redact(f"some-new-thing {written.lower()} x") == "some-new-thing *** x"


@given(st.text(min_size=known.SHORT, max_size=30).filter(lambda text: text.strip() and text.strip("*")), st.data())
def test_no_known_secret_shows_wherever_it_stands(secret: str, data: st.DataObject) -> None:
    before, after = data.draw(st.text(max_size=20)), data.draw(st.text(max_size=20))
    redacted = Secrets([secret]).redact(before + secret + after)
    core = secret.strip("\r\n")
    if len(core) >= known.SHORT and core not in before + "***" + after:
        assert core not in redacted


def test_two_known_secrets_that_overlap_leave_no_end_of_either() -> None:
    assert Secrets(["abcdef", "defghi"]).redact("x abcdefghi y") == "x *** y"
    assert Secrets(["aaaa"]).redact("aaaaaa") == "***"


def test_a_short_secret_is_removed_as_a_word_only() -> None:
    assert Secrets(["c1"]).redact("c1 abc1d c1, c12") == "*** abc1d ***, c12"


@pytest.mark.parametrize("nothing", [None, "", "\n", "  "])
def test_no_secret_at_all_removes_nothing(nothing: str | None) -> None:
    secrets = Secrets([nothing])
    secrets.add(nothing)
    assert secrets.redact("show version\n\n ") == "show version\n\n "


def test_what_a_connection_learns_is_bounded_and_its_own_credentials_stay() -> None:
    secrets = Secrets(["my-own-password"])
    for number in range(ADDED + 1):
        secrets.add(f"learnt-{number}-x")
    assert len(secrets._added) == ADDED
    assert secrets.redact("my-own-password learnt-0-x learnt-1-x learnt-100-x") == "*** learnt-0-x *** ***"


def test_the_lines_of_a_key_that_is_known_are_removed_one_by_one() -> None:
    (line,) = [line for line in PEM.splitlines() if line.startswith("ZXkg")]
    assert Secrets([PEM]).redact(f"debug: {line} sent") == "debug: *** sent"


# Keys of many lines, and sections.


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\\n", "\n        "])
def test_a_key_is_removed_between_its_fences(line_break: str) -> None:
    text = f"before\n{line_break.join(PEM.splitlines())}\nafter"
    redacted = Secrets().redact(text)
    assert redacted.startswith("before\n-----BEGIN RSA PRIVATE KEY-----***-----END RSA")
    assert redacted.endswith("\nafter")
    assert "DEK" not in redacted
    assert not any(line in redacted for line in PEM.splitlines()[4:-1])


@pytest.mark.parametrize("cut_at", range(1, len(PEM.splitlines())))
def test_a_key_without_its_beginning_or_its_end_is_removed_as_far_as_it_goes(cut_at: int) -> None:
    lines = PEM.splitlines()
    head = Secrets().redact("\n".join([*lines[:cut_at], "rtr1# show x"]))
    tail = Secrets().redact("\n".join(["Interface is up, really", *lines[cut_at:]]))
    assert head.endswith("\nrtr1# show x")
    assert "c2Vj" not in head + tail
    assert "ZXkg" not in head + tail
    assert "aWFs" not in head + tail
    assert tail.startswith("Interface is up, really")


def test_what_only_looks_like_a_fence_takes_nothing_with_it() -> None:
    text = "-- BEGIN of the list --\nShow this\n-----\nEND of it\nand this line, too"
    assert Secrets().redact(text) == text


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.vendor)
def test_a_name_that_is_a_secret_by_its_section_is_removed_there_only(section) -> None:
    text = section.example.replace("{secret}", SECRET)
    assert SECRET not in Secrets().redact(text)
    other = (
        "config system interface\n    edit port1\n        set name x1\n    next\nend\n/interface\nadd name=x2\n"
    )
    assert Secrets().redact(text + other).endswith(other)


# What must not happen.


def test_a_failure_of_ours_lets_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from sessionspan import settings as settings_module

    class Broken(Rules):
        def places(self, text):
            raise RuntimeError(text)

    monkeypatch.setenv("SESSIONSPAN_RAISE", "off")
    settings_module.reload()
    assert Secrets(rules=Broken(())).redact("snmp-server community x RO") == UNREADABLE


@given(st.text(max_size=300))
def test_any_text_at_all_can_be_redacted(text: str) -> None:
    Secrets(["abc", "secret-one"]).redact(text)


def test_the_text_of_an_exception_is_redacted_like_any_other() -> None:
    text = (
        "\n\nPattern not detected: 'rtr1\\\\#' in output.\n\nThings you might try to fix this:\n"
        "output='snmp-server community n0C-r34d RO\\r\\n neighbor 192.0.2.1 password 7 13061E010803\\r\\nrtr1#'"
    )
    redacted = Secrets(["lab-pw-1"]).redact(text + " lab-pw-1")
    assert not any(secret in redacted for secret in ("n0C-r34d", "13061E010803", "lab-pw-1"))
    assert "Things you might try" in redacted


def test_rules_of_a_user_come_after_ours() -> None:
    import re

    own = (Rewrite(re.compile(r"(customer) \S+"), r"\1 <gone>"),)
    rules = Rules(TABLE, own)
    assert Secrets(rules=rules).redact("customer ACME\npassword x1y2z3") == "customer <gone>\npassword ***"


def test_nothing_of_a_text_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for line in corpus():
        Secrets().redact(line.text)
    assert caplog.records == []
