"""What the rules of the table are written in: the form of a rule, and what patterns are made of.

Every repeat is bounded, or can end in one way only, so that no text takes more than linear time:
`tests/devices/test_hostile_text.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Rule:
    """One form in which devices show a secret.

    Args:
        vendor: whose syntax it is; ``any`` for what many share.
        words: lower-case words of which one is in every text that the pattern can match.
        pattern: a regular expression with `MACROS`. Case is ignored, ``^`` and ``$``
            are those of a line. The secret is what the pattern matches behind its first group.
        examples: lines as devices show them, with ``{secret}`` where the secret stands.
    """

    vendor: str
    words: tuple[str, ...]
    pattern: str
    examples: tuple[str, ...]


# What may stand between a keyword and its secret.
_SKIPPED: Final = (
    r"ascii-text|ascii|hexadecimal|hex-key|hex|clear-?text|clear|plain-?text|plain|text|ciphertext|"
    r"irreversible-cipher|cipher|simple-text|simple|encrypted|encrypt|enc|hashed|hash2?|md5|scrypt|pbkdf2|"
    r"sha-?[0-9]{0,3}|hmac-[\w-]{1,16}|aes-[\w-]{1,16}|cmac|localized-key|localizedkey|local|remote|key|value|"
    r"string|set-key|key-string|password|secret|pass-?phrase|type[ \t]+\w{1,16}|level[ \t]+[0-9]{1,2}|"
    r"role[ \t]+\S{1,32}"
)

_END: Final = r"(?=[.,;:!?)]{0,3}(?:\s|$))"
# Words behind `password` that make a line speak of passwords instead of showing one. Only rules that know
# nothing else of the line look at them: the password of `username x password required` is removed.
_TALK: Final = (
    r"(?!(?:is|are|was|has|have|had|not|no|and|or|of|on|off|to|the|a|an|in|at|by|for|from|with|will|must|may|can|"
    r"cannot|should|set|unset|valid|required|requires?|needed|changed?|changes|expires?|expired|expiry|expiration|"
    r"expiring|aging|age|lifetime|history|encryption|encrypted|encoding|policy|policies|strength|complexity|check|"
    r"checking|control|controls|length|min(?:imum)?|max(?:imum)?|min-length|retries|retry|attempts?|tries|lockout|"
    r"recovery|reset|prompt|prompting|protection|protected|security|storage|file|database|hash|hashing|type|types|"
    r"method|mode|format|authentication|auth|authenticated|login|logins|user|users|username|account|accounts|"
    r"manager|management|settings?|configuration|configured|config|rules?|option|options|status|state|none|"
    r"disabled?|enabled?|default|accepted|ok|mismatch|match|matches|failed|failures?|fails|invalid|incorrect|"
    r"wrong|bad|again|confirmation|confirm|cache|caching|if|when|then|before|after|using|used|uses|use|only|"
    r"alive|warning|entry|entries|field|level|levels|line|lines|name|names|number|per|so|that|this|which|you|"
    r"your|we|it|as|be|been|supplied|given|provided|stored|saved|sent|specified|missing|empty|blank|"
    r"stores?|service|agent|sharing|keys?|data|tool|library|requisite|include|sufficient|substack|\[\S{0,32}=\S{0,32})"
    r"{end}|[:=]+(?:\s|$))"
)
# An attribute that is called like this holds a secret.
_NAMED: Final = (
    r"pass(?:word|wd|phrase|code)|pass-phrase|passwd|secret[-_]access[-_]key|secret|pre[-_]?shared[-_]?(?:key|secret)|psk|private[-_]?key|"
    r"api[-_]?key|auth(?:entication)?[-_]?key|encryption[-_]?key|shared[-_]?(?:key|secret)|community[-_]?string|auth[-_]?pwd|priv[-_]?pwd"
)
_HASH: Final = r"1|2[abxy]|[3-9]|1[04]|1c|y|gy|h|c|apr1|sha1|sha256|sha512|nt|m|argon2\w{1,2}|pbkdf2[\w-]{0,12}"

MACROS: Final = {
    # The beginning of a word; in the text of an exception a line break may be written as \n.
    "{b}": r"(?:(?<![\w/-])|(?<=\\[nrt]))",
    # The beginning of a line, or what follows the device's prompt.
    "{start}": r"(?:^|(?<=[\r#>$%\]])|(?<=\\[nr]))[ \t]*",
    "{sp}": r"[ \t]+",
    # One word, quoted or not, and up to six of them.
    "{word}": r'(?:"[^"\r\n]{0,128}"|[^\s"]\S{0,127})',
    "{words}": r'(?:[ \t]+(?:"[^"\r\n]{0,128}"|[^\s"]\S{0,127})){0,6}?',
    # What may stand between a keyword and its secret, where more follows: the kind of encryption, a key's number.
    "{kind}": (
        rf"(?:[ \t]+(?:{_SKIPPED}|[0-9]|1[0-5])(?=[ \t]+\S)|"
        rf"[ \t]+[0-9]{{1,5}}(?=[ \t]+(?:{_SKIPPED})[ \t])){{0,5}}"
    ),
    # The secret itself: up to the next blank or, in quotes, to the closing one; quotes that were cut off are open.
    # It is the end of its pattern: what a pattern wants behind it, it would look for at every place in it.
    "{secret}": r"""(?:"(?:[^"\\\r\n]|\\.)*"?|'(?:[^'\\\r\n]|\\.)*'?|\S)\S*""",
    # The end of a word that is no secret: a sentence may go on behind it, a secret may only begin like it.
    "{end}": _END,
    # Before a secret: nothing else is on the line.
    "{alone}": r"""(?=(?:"[^"\r\n]{0,512}"?|'[^'\r\n]{0,512}'?|\S{1,512})[ \t\r]*$)""",
    "{talk}": _TALK.replace("{end}", _END),
    "{named}": _NAMED,
    "{hash}": _HASH,
}
