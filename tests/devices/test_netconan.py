"""netconan: what it removes as a secret, we remove too; and where it is asked for, it comes after us, silently."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.secrets import Line, corpus
from sessionspan import settings as settings_module
from sessionspan.devices import netconan
from sessionspan.devices.secrets import Secrets
from sessionspan.devices.table import TABLE

pytest.importorskip("netconan", reason="pip install 'sessionspan[netconan]'")

# Words that netconan removes and that are no secret, with the reason why we leave them.
NO_SECRET = {
    "the kind of encryption, which it takes for the secret": "7 10 ENC md5 ciphertext irreversible-cipher hash2",
    "the number or the name of a key": "3 -- 0011aabb 0abc1234",
    "a keyword behind `key` or `community`": "config-key create type value",
}
EXCEPTIONS = frozenset(word for words in NO_SECRET.values() for word in words.split())
LINES = [*corpus()]
LINES += [
    Line(rule.vendor, example.replace("{secret}", "Zq7kP2mXw9"), ("Zq7kP2mXw9",))
    for rule in TABLE
    for example in rule.examples
]


def words(text: str) -> list[str]:
    return [word.strip("\"';{}[],") for word in text.split()]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.text[:60])
def test_what_netconan_removes_as_a_secret_we_remove_too(line: Line) -> None:
    """A line that netconan scrubs as a whole says nothing about words; then every secret of it must go."""
    theirs = netconan.without_netconan(line.text)
    if theirs == line.text:
        return
    ours = Secrets().redact(line.text)
    assert ours != line.text
    if "SCRUBBED" in theirs:
        assert not any(secret in ours for secret in line.secrets)
        return
    assert left_by_us(line) <= EXCEPTIONS, ours


def left_by_us(line: Line) -> set[str]:
    """The words that netconan removes of *line* and we do not."""
    theirs, ours = netconan.without_netconan(line.text), Secrets().redact(line.text)
    if "SCRUBBED" in theirs:
        return set()
    return {word for word in words(line.text) if word and word not in words(theirs) and word in words(ours)}


def test_every_exception_is_needed() -> None:
    assert set().union(*(left_by_us(line) for line in LINES)) == EXCEPTIONS


def test_it_comes_after_our_rules_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "snmp-server community n0C-r34d RO\nlabel key 42abc\r\n  description x\n"
    assert Secrets().redact(text) == text.replace("n0C-r34d", "***")
    monkeypatch.setenv("SESSIONSPAN_NETCONAN", "on")
    settings_module.reload()
    both = Secrets().redact(text)
    assert "n0C-r34d" not in both
    assert "42abc" not in both
    assert both.endswith("\r\n  description x\n")


def test_it_logs_nothing_and_leaves_the_applications_logging_alone() -> None:
    """netconan logs at DEBUG what it found, and by `logging.debug` sets up the root logger."""
    code = (
        "import logging, netconan.sensitive_item_removal as theirs; from sessionspan.devices import netconan;"
        "logging.getLogger().setLevel(logging.DEBUG);"
        "print(netconan.without_netconan('username x password hunter22') != 'username x password hunter22',"
        " logging.getLogger().handlers, theirs.logging is logging)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True [] True"
    assert done.stderr == ""


def test_without_asking_nothing_of_it_is_imported() -> None:
    code = (
        "import sys; from sessionspan.devices.secrets import Secrets; Secrets().redact('password x1y2z3');"
        "print([name for name in sys.modules if name.startswith(('netconan', 'passlib'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
