"""Commands as few different texts."""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Iterator
from importlib import resources

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sessionspan.devices.fingerprints import REST, WORDS, fingerprint
from sessionspan.devices.vocabulary import NOUNS, SECRETIVE, SHORT, VERBS


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("show interface GigabitEthernet0/1", "show interface *"),
        ("show interface", "show interface"),
        ("sh ip int br", "show ip interface brief"),
        ("SHOW  Version ", "show version"),
        ("show run | include hostname rtr", "show running-config | include *"),
        ("conf t", "configure terminal"),
        ("do show ip bgp neighbors 192.0.2.1 routes", "do show ip bgp *"),
        ("no ip address 192.0.2.1 255.255.255.0", "no ip address *"),
        ("/interface/print detail", "interface print detail"),
        ("ls -la /etc/frr", "ls *"),
        ("interface Gi0/1", "interface *"),
        ("ping 192.0.2.1 repeat 5", "ping *"),
        ("\n\nshow clock\nhunter2", "show clock"),
        ("frobnicate the core", "*"),
        ("hunter2", "*"),
        ("", "*"),
        ("| include x", "*"),
    ],
)
def test_arguments_are_one_star(command: str, expected: str) -> None:
    assert fingerprint(command) == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("enable secret interface", "enable secret *"),
        ("username show secret version", "username *"),
        ("snmp-server community system RO", "snmp-server *"),
        ("echo system | sudo -S id", "echo *"),
        ("set snmp community network", "set snmp community *"),
    ],
)
def test_a_secret_that_is_a_word_of_the_vocabulary_is_an_argument(command: str, expected: str) -> None:
    assert fingerprint(command) == expected


@given(st.text() | st.lists(st.sampled_from([*sorted(VERBS | NOUNS), "x", "|", "*"])).map(" ".join))
def test_a_fingerprint_is_made_of_few_words_of_a_closed_vocabulary(command: str) -> None:
    words = fingerprint(command).split(" ")
    assert set(words) <= VERBS | NOUNS | {REST, "|"}
    assert len([word for word in words if word != REST]) <= WORDS
    assert (REST, REST) not in itertools.pairwise(words)


def test_the_vocabulary_has_no_word_that_could_not_be_one() -> None:
    assert all(set(word) <= set(string.ascii_lowercase + string.digits + "-") for word in VERBS | NOUNS)
    assert set(SHORT.values()) <= VERBS | NOUNS
    assert SECRETIVE <= VERBS | NOUNS


def commands() -> Iterator[str]:
    """The commands that ntc-templates has parsers for, and those that fakenos answers."""
    index = resources.files("ntc_templates") / "templates" / "index"
    for line in index.read_text().splitlines():
        fields = line.split(",", 3)
        if len(fields) == 4 and not line.startswith("#"):
            written = fields[3].replace("[[", "").replace("]]", "").replace("$", "").strip()
            yield re.sub(r"\((?:\?:)?([^()|]*)(?:\|[^()]*)?\)\??", r"\1", written).lstrip("/").replace("\\s+", " ")
    platforms = resources.files("fakenos") / "plugins" / "nos" / "platforms_yaml"
    for file in platforms.iterdir():
        yield from yaml.safe_load(file.read_text()).get("commands", {})


def test_real_commands_become_few_fingerprints_and_hardly_any_says_nothing() -> None:
    pytest.importorskip("ntc_templates", reason="pip install ntc-templates")
    pytest.importorskip("fakenos", reason="pip install fakenos")
    given = set(commands())
    of_ports = {f"show interface Gi{slot}/{port}" for slot in range(10) for port in range(100)}
    found = {fingerprint(command) for command in given | of_ports}
    assert len(given) > 700
    assert len(found) < len(given)
    assert found - {fingerprint(command) for command in given} <= {"show interface *"}
    silent = [command for command in given if fingerprint(command) == REST]
    assert len(silent) < len(given) * 0.03, silent
