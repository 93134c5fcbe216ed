"""Whether what is written to a device is a command, or an answer of which only the length may be known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionspan.devices.dialog import is_answer

PROMPTS = [
    # last line of the device, base_prompt as netmiko has it
    ("rtr1#", "rtr1"),
    ("rtr1>", "rtr1"),
    ("rtr1(config)#", "rtr1"),
    ("rtr1(config-if-range)#", "rtr1"),
    ("a-router-with-a-long(config-router-af)# ", "a-router-with-a-"),
    ("\r\n\x1b[0mrtr1\x1b[1m#\x1b[0m ", "rtr1"),
    ("rtx\b1#", "rt1"),
    ("RP/0/RP0/CPU0:xr1#", "RP/0/RP0/CPU0:xr1"),
    ("RP/0/RP0/CPU0:xr1(config-bgp)#", "RP/0/RP0/CPU0:xr1"),
    ("ciscoasa/ctx1(config)# ", "ciscoasa"),
    ("ciscoasa/pri/act# ", "ciscoasa/pri/act"),
    ("ops@mx1> ", "ops@mx1"),
    ("[edit interfaces]\nops@mx1# ", "ops@mx1"),
    ("<HUAWEI>", "HUAWEI"),
    ("[~HUAWEI-GigabitEthernet0/0/1]", "HUAWEI"),
    ("[*HUAWEI]", "HUAWEI"),
    ("[admin@MikroTik] > ", "admin@MikroTik"),
    ("[admin@MikroTik] /ip address> ", "admin@MikroTik"),
    ("(Cisco Controller) >", "(Cisco Controller)"),
    ("(Cisco Controller) config>", "(Cisco Controller)"),
    ("(aruba1) [mynode] (config) #", "(aruba1) [mynode]"),
    ("FW1 # ", "FW1"),
    ("FW1 (global) # ", "FW1"),
    ("admin@PA-220(active)> ", "admin@PA-220"),
    ("*A:sr1>config>router# ", "A:sr1"),
    ("A:admin@sr1# ", "admin@sr1"),
    ("gw-01> ", "gw-01"),
    ("ops@server:/etc/frr$ ", "ops@server:~"),
    ("root@server:~# ", "root@server:~"),
    ("vyos@vyos:~$ ", "vyos@vyos"),
]
QUESTIONS = [
    "Password: ",
    "rtr1 password: ",
    "Enter new UNIX password:",
    "Destination password []? ",
    "Destination filename [running-config]? ",
    "[sudo] password for ops: ",
    "Username: ",
    "login: ",
    "Enter TEXT message.  End with the character '%'.\n",
    "ops@server's password: ",
    "(ops@server) Password: ",
    "Enter passphrase for key '/root/.ssh/id_rsa': ",
    "FW1 new passphrase> ",
    "rtr1 secret#",
    "Pass Phrase>",
    "PIN> ",
    "",
    "still working on it",
    "otherrouter#",
    "the rtr1# in the middle of a line",
    "rtr1# show ver",
]


@pytest.mark.parametrize(("line", "prompt"), PROMPTS)
def test_what_is_written_at_the_prompt_is_a_command(line: str, prompt: str) -> None:
    assert not is_answer(line, prompt, "show version\n")


@pytest.mark.parametrize("line", QUESTIONS)
@pytest.mark.parametrize("prompt", ["rtr1", "FW1", "ops@server:~", "", None])
def test_what_is_written_anywhere_else_is_an_answer(line: str, prompt: str | None) -> None:
    assert is_answer(line, prompt, "hunter2\n")


@pytest.mark.parametrize("line", ["rtr1#", "rtr1>", "$ "])
@pytest.mark.parametrize("prompt", ["", None, "  "])
def test_while_the_prompt_is_not_known_everything_is_an_answer(line: str, prompt: str | None) -> None:
    assert is_answer(line, prompt, "hunter2\n")


@pytest.mark.parametrize(
    ("line", "written", "hidden"),
    [
        ("Proceed with reload? [confirm]", "\n", False),
        ("Overwrite? [y/n]: ", "y\n", False),
        ("Are you sure (yes/no)? ", "YES\r\n", False),
        (" --More-- ", " ", False),
        ("---- More ----", "q", False),
        ("<--- More --->", " ", False),
        ("Press any key to continue (Q to quit)", "q", False),
        ("Overwrite? [y/n]: ", "yesterday\n", True),
        ("Overwrite? [y/n]: ", " ", True),
        ("New password: ", "yes\n", True),
        ("New password: ", "\n", True),
        ("SIM PIN: ", "n", True),
    ],
)
def test_a_harmless_answer_is_no_secret_unless_a_credential_was_asked_for(
    line: str, written: str, hidden: bool
) -> None:
    assert is_answer(line, "rtr1", written) is hidden


@given(st.text(max_size=600), st.text(max_size=30), st.text(max_size=30))
def test_any_text_has_an_answer(line: str, prompt: str, written: str) -> None:
    assert is_answer(line, prompt, written) in (True, False)


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789 -_.:()[]<>", max_size=40))
def test_a_line_that_does_not_end_like_a_prompt_is_none(text: str) -> None:
    assert is_answer(text + "? ", "rtr1", "hunter2")
    assert is_answer(text + ": ", "rtr1", "hunter2")
