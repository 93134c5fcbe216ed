"""What looks like a login, in a dialogue that no observer understands: a table of rules, and it is no proof.

Where an observer knows the protocol it knows what a credential is. Here nobody does, so the text of an
interaction is withheld as a whole when one of these rules holds for it: a part of it cannot be cut out safely.
"""

from __future__ import annotations

import re
from typing import Final

PROMPT: Final = 256  # bytes at the end of what a server has shown in which its prompt stands

_SECRET: Final = (
    r"(?:\b(?:pass(?:word|phrase|code|wd)?|passwort|kennwort|mot de passe|contrase\w+|senha|pin|otp|secret|token"
    r"|credentials?|api[ _-]?key)\b|парол|密码|密碼|口令|パスワード|암호)"
)
_LOGIN: Final = r"(?:\b(?:login|log in|user(?:[ -]?name)?|account|benutzer\w*|usuario|utilisateur)\b|логин|用户名)"

# What a server shows before it takes a secret: an open prompt, also with the stars that it echoes; or a line.
_OPEN_PROMPT: Final = re.compile(rf"{_SECRET}[^\n]*[:\uff1a?>=][\s*]*\Z", re.IGNORECASE)
_LINE: Final = re.compile(_SECRET, re.IGNORECASE)
_OPEN_LOGIN: Final = re.compile(rf"{_LOGIN}[^\n]*[:\uff1a?>=]\s*\Z", re.IGNORECASE)
# RFC 4954 4, RFC 5034 4, RFC 9051 6.2.2: a SASL challenge, whatever is asked for
_CHALLENGE: Final = re.compile(r"(?:334|\+)(?: \S*)?\s*\Z")

# What a client says that has a secret in it.
_SAYS: Final = re.compile(
    "|".join(
        (
            # the logins of mail, FTP, news and chat protocols, with a tag or without
            r"^[ \t]*(?:\S{1,64}[ \t]+)?(?:PASS|ACCT|APOP|AUTH|AUTHENTICATE|AUTHINFO|LOGIN|OPER|SASL)(?=\s|$)",
            # RFC 9110 11.6, RFC 6265 4
            r"^(?:proxy-)?authorization\s*:|^(?:set-)?cookie2?\s*:",
            # RFC 3986 3.2.1
            r"://[^/\s:@]*:[^/\s@]*@",
            rf"(?:{_SECRET}|\b(?:pwd|passwd)\b)[\"']?\s*[=:]\s*\S",
            r"--?(?:password|passwd|pass|token|secret|api-?key)[= ]\S",
            r"\b(?:chpasswd|htpasswd|sshpass)\b|\|\s*(?:sudo\s+)?passwd\b",
        )
    ),
    re.IGNORECASE | re.MULTILINE,
)


# RFC 854: a telnet client ends a line by CR NUL, too
_LINE_END: Final = re.compile(r"[\r\n\0]+")


def holds_login(asked: str, sent: str, answered: str) -> bool:
    """Whether what a client has *sent*, to a server that had *asked* and has *answered*, may hold a secret."""
    lines = list(filter(None, _LINE_END.split(sent)))
    if asks_for_secret(asked) or _SAYS.search("\n".join(lines)):
        return True
    # Name and password at once, before the server could ask for the second.
    return len(lines) > 1 and (_OPEN_LOGIN.search(asked) is not None or _LINE.search(answered) is not None)


def asks_for_secret(shown: str) -> bool:
    """Whether a server that has just *shown* this waits for a secret."""
    last = next((line for line in reversed(_LINE_END.split(shown)) if line.strip()), "")
    if _CHALLENGE.match(last):
        return True
    if shown.endswith(("\r", "\n")):
        return _LINE.search(last) is not None
    return _OPEN_PROMPT.search(last) is not None
