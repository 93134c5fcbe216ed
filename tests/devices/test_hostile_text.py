"""No text keeps us busy: time is linear in its length, whatever a device sends.

Nothing is timed here. The texts are so long that whatever takes the square of their length does not end before
the test's own limit.
"""

from __future__ import annotations

import pytest

from sessionspan.devices.dialog import is_answer
from sessionspan.devices.fingerprints import fingerprint
from sessionspan.devices.grammar import Rule
from sessionspan.devices.rules import Rules
from sessionspan.devices.secrets import Secrets
from sessionspan.devices.table import TABLE
from sessionspan.devices.text import cut
from tests.devices.hostile import ANYTHING, of_rule


@pytest.mark.timeout(60)
@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.pattern[:40])
def test_no_rule_is_kept_busy(rule: Rule) -> None:
    rules = Rules([rule])
    for text in of_rule(rule):
        assert all(0 <= start <= stop <= len(text) for start, stop in rules.places(text))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", ANYTHING, ids=lambda text: repr(text[:20]))
def test_no_text_keeps_the_whole_busy(text: str) -> None:
    assert Secrets(["aaaaaaaa", "abcd\nabcdefgh"]).redact(text) is not None
    assert cut(text * 10).truncated
    is_answer(text, "rtr1", text)
    fingerprint(text)
