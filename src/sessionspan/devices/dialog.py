"""Whether what is written to a device is a command, or the answer to a question that may be anything: a password.

Questions come in any wording (`Destination password []? `), so nothing is known of them: a write is a command only
when the last line of the device is its prompt. Whatever else it is, only its length may be recorded.
"""

from __future__ import annotations

import re
from typing import Final

# Colours, titles and cursor movements (ECMA-48 5.4, 8.3.89), and what a backspace took back.
_CONTROLS: Final = re.compile(
    r"\x1b\[[0-?]{0,32}[ -/]{0,8}[@-~]|\x1b\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)|\x1b[@-_=>]|[\0\a]"
)
_TAIL: Final = 512  # characters of the last line that are looked at; no prompt is longer

# Before the name: <HUAWEI>, [~HUAWEI], *A:R1#, (Cisco Controller) >, [admin@MikroTik] >, A:admin@R1#.
_OPENED: Final = r"[<\[({*~!]{0,3}(?:[A-D]:|\*[A-D]:)?(?:[\w.-]{1,64}@)?"
# Behind it: (config-if)#, (active)>, :~$, >config>router#, -GigabitEthernet0/0/1], /ip address>, (global) #.
_MODE: Final = (
    r"(?:[ ]?[(\[{][^()\[\]{}\r\n]{0,128}[)\]}]|[\]>)]?[ ]?(?:/[\w./ -]{0,128}|config)|"
    r"[-\w.:/~@*+,=|>\])]{1,128}){0,3}"
)
_CLOSED: Final = r"[ ]?[#>$%\]]{1,2}[ ]*"
# Never a mode: words of questions for credentials.
_ASKS: Final = re.compile(
    r"pass|secret|phrase|code|token|\bpin\b|(?<!any )\bkey\b|credential|login|user ?name", re.IGNORECASE
)
_MORE: Final = re.compile(
    r"-{1,4} ?(?:\(?more|press|next)|<-{1,3} ?more|\bmore\b.{0,40}-{2}|press any key|lines \d+-\d+", re.IGNORECASE
)

# Answers that say nothing about anybody; and what turns the page.
_HARMLESS: Final = frozenset(("", "y", "n", "yes", "no"))
_PAGING: Final = _HARMLESS | {" ", "q", "a", "c"}


def is_answer(last_line: str, prompt: str | None, written: str) -> bool:
    """Whether *written* answers a question of the device: then only its length may be recorded.

    Args:
        last_line: what the device sent last, from its last line break on; more is no harm.
        prompt: the device's prompt as netmiko's ``base_prompt`` has it, without the sign at its end and without a
            mode. None or empty while it is not known: every write is an answer then (user name, password).
        written: the text as it is written, with its line break or without.

    Returns:
        False for a command at a prompt, and for an answer that is harmless (yes, no, nothing, a blank at
        ``--More--``) to a question that asks for no credential; otherwise True.
    """
    line = visible_line(last_line)
    if at_prompt(line, prompt):
        return False
    if _ASKS.search(line):
        return True
    answer = written.strip("\r\n").lower()
    return answer not in (_PAGING if _MORE.search(line) else _HARMLESS)


def at_prompt(line: str, prompt: str | None) -> bool:
    """Whether *line*, as `visible_line` gives it, is the prompt that ``base_prompt`` *prompt* belongs to."""
    name = (prompt or "").strip()
    if not name:
        return False
    # On a shell the prompt names the directory; the base_prompt is the one of the first.
    user, colon, _ = name.partition(":") if "@" in name else (name, "", "")
    if colon and user.rpartition("@")[2]:
        name = user
    at = line.find(name)
    if at < 0:
        return False
    rest = line[at + len(name) :]
    if _ASKS.search(rest) is not None:
        return False
    return _BEFORE.fullmatch(line, 0, at) is not None and _BEHIND.fullmatch(rest) is not None


def visible_line(text: str) -> str:
    """The last line of *text* as a person would see it: without controls, and without what was taken back."""
    line = _CONTROLS.sub("", re.split(r"[\r\n]", text[-_TAIL:].rstrip("\0"))[-1])
    shown: list[str] = []
    for character in line:
        if character != "\b":
            shown.append(character)
        elif shown:
            shown.pop()
    return "".join(shown)


_BEFORE: Final = re.compile(_OPENED)
_BEHIND: Final = re.compile(_MODE + _CLOSED)
