"""How much of a device's text leaves: whole lines of its head and its tail, safe to redact afterwards."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionspan.devices.blocks import SECTIONS
from sessionspan.devices.secrets import Secrets
from sessionspan.devices.text import GAP, LIMIT, cut

KEY_LINES = ("c2VjcmV0IGtleSBtYXRlcmlhbCBzZWNyZXQga2V5IG1hdGVyaWFs", "ZXkgbWF0ZXJpYWwgc2VjcmV0IGtl", "aWFs")
PEM = "\n".join(("-----BEGIN EC PRIVATE KEY-----", *KEY_LINES, "-----END EC PRIVATE KEY-----"))
SECRETS = ("Zq7kP2mXw9", "s0me passphrase of mine", "Wv5LkQ81", "Hb3TzN64", "Kf9RdC27", *KEY_LINES)
CONFIG = f"""rtr1#show running-config
hostname rtr1
enable secret 9 {SECRETS[0]}
interface GigabitEthernet0/1
 description uplink ü
{PEM}
 standby 1 authentication md5 key-string 7 {SECRETS[2]}\r
the banner says {SECRETS[1]} to everybody
{SECTIONS[0].example.replace("{secret}", SECRETS[3])}
{SECTIONS[1].example.replace("{secret}", SECRETS[4])}
snmp-server location nowhere
{PEM}
rtr1#"""


def test_a_text_that_fits_stays_as_it_is() -> None:
    assert cut("short\n") == ("short\n", 6, False)
    assert cut("ü" * (LIMIT // 2)).truncated is False
    assert cut("ü" * (LIMIT // 2) + "x").truncated is True


def test_a_long_text_keeps_its_head_and_its_tail_and_says_how_much_is_missing() -> None:
    text = "\n".join(f"line {number}" for number in range(10_000))
    found = cut(text)
    assert found.size == len(text)
    assert found.truncated
    assert found.text.startswith("line 0\nline 1\n")
    assert found.text.endswith("\nline 9998\nline 9999")
    assert LIMIT - 40 < len(found.text) <= LIMIT
    gap = GAP.search(found.text)
    assert gap is not None
    missing = int(gap[0].split()[1])
    assert missing + len(found.text) - len(gap[0]) - 1 == len(text)


@given(
    st.lists(st.text(st.characters(codec=None, exclude_characters="["), max_size=12)).map("\n".join),
    st.integers(0, 120),
)
def test_what_is_kept_is_whole_lines_in_order_and_no_more_than_the_limit(text: str, limit: int) -> None:
    found = cut(text, limit)
    size = len(text.encode(errors="surrogatepass"))
    assert found.size == size
    assert found.truncated is (size > limit)
    assert len(found.text.encode(errors="surrogatepass")) <= max(limit, 0)
    if not found.truncated:
        assert found.text == text
    elif found.text:
        head, _, tail = found.text.partition("[... ")
        tail = tail.partition("]\n")[2]
        assert text.startswith(head)
        assert text.endswith(tail)
        assert not head or head[-1] in "\r\n"
        assert not tail or text[: len(text) - len(tail)][-1] in "\r\n"


def test_a_line_that_does_not_fit_is_left_out_as_a_whole() -> None:
    assert cut("password " + "x" * 100, 60).text == "[... 109 bytes left out ...]\n"
    assert cut("a\npassword " + "x" * 100 + "\nb", 60).text == "a\n[... 110 bytes left out ...]\nb"
    assert cut("x" * 100, 3) == ("", 100, True)


def parts(secret: str) -> set[str]:
    return {secret[at : at + 4] for at in range(len(secret) - 3)}


@pytest.mark.parametrize("before", ["", "x" * 37 + "\n"])
def test_no_part_of_a_secret_shows_wherever_the_text_is_cut(before: str) -> None:
    secrets = Secrets(["s0me passphrase of mine"])
    text = before + CONFIG
    seen = set()
    for limit in range(len(text.encode()) + 2):
        shown = secrets.redact(cut(text, limit).text)
        seen.add(shown)
        for secret in SECRETS:
            assert not any(part in shown for part in parts(secret)), (limit, secret, shown)
    assert len(seen) > 20
    assert any(shown.count("-BEGIN ") > shown.count("-END ") for shown in seen)
    assert any(shown.count("-END ") > shown.count("-BEGIN ") for shown in seen)


def test_what_is_cut_by_somebody_else_inside_of_a_line_shows_no_part_of_a_configured_secret() -> None:
    text = f'hostname rtr1\nenable secret 9 {SECRETS[0]}\nntp authentication-key 1 md5 "{SECRETS[2]} x" 7\n{PEM}'
    for at in range(len(text)):
        shown = Secrets().redact(text[:at])
        for secret in (SECRETS[0], SECRETS[2], *KEY_LINES):
            assert not any(part in shown for part in parts(secret)), shown


def test_no_line_of_the_head_is_a_line_of_the_tail() -> None:
    text = "".join(f"{number:05}\n" for number in range(300))
    for limit in range(40, 400):
        numbers = [int(line) for line in cut(text, limit).text.splitlines() if line.isdigit()]
        assert all(one < other for one, other in pairwise(numbers))
