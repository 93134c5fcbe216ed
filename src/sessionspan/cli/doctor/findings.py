"""What the doctor says: findings, which are values, and the one gate that keeps secrets out of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl, unquote

from sessionspan.sinks.text import harmless

LEVELS: Final = ("ok", "warning", "error")  # the index is the exit code


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what is, and what to do about it."""

    id: str
    level: str
    what: str
    do: str = ""


def ok(id: str, what: str, do: str = "") -> Finding:
    """All well, or worth knowing."""
    return Finding(id, "ok", what, do)


def warning(id: str, what: str, do: str) -> Finding:
    """It works, but not as one would expect."""
    return Finding(id, "warning", what, do)


def error(id: str, what: str, do: str) -> Finding:
    """Sessions are not recorded, or do not arrive."""
    return Finding(id, "error", what, do)


def worst(findings: Iterable[Finding]) -> str:
    """The worst level of *findings*."""
    return max((found.level for found in findings), key=LEVELS.index, default="ok")


# Variables whose value is a secret, or holds some.
_SECRET_NAME: Final = re.compile(r"HEADERS$|KEY$|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
_SHORT: Final = 4  # shorter values would hide half of the text


class Secrets:
    """Every secret of an environment, to be hidden wherever it turns up."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        found: set[str] = set()
        for name, value in environ.items():
            if not name.startswith(("OTEL_", "SESSIONSPAN_")):
                continue
            if _SECRET_NAME.search(name) and not name.endswith(("_CLIENT_KEY", "CREDENTIAL_PROVIDER")):
                found |= set(_parts(value))
            elif "://" in value or "@" in value:
                found |= set(_of_url(value))
        texts = {form for text in found for form in (text, unquote(text), harmless(text))}
        self._texts = sorted((text for text in texts if len(text) >= _SHORT), key=len, reverse=True)

    def hide(self, text: str) -> str:
        """*text* without any of the secrets, and without what could drive a terminal."""
        text = "\n".join(harmless(line) for line in text.split("\n"))
        for secret in self._texts:
            text = text.replace(secret, "***")
        return text

    def hidden(self, finding: Finding) -> Finding:
        """*finding* without any of the secrets."""
        return replace(finding, what=self.hide(finding.what), do=self.hide(finding.do))


def _parts(value: str) -> Iterable[str]:
    """A list of headers is secret as a whole, and so is each value in it, and each word of a value."""
    yield value.strip()
    for pair in value.split(","):
        name, equals, text = pair.partition("=")
        # What does not look like name=value may be a value that lost its name.
        for part in (text,) if equals and is_header_name(name) and text.strip("= ") else (pair, name, text):
            yield part.strip()
            yield from unquote(part).split()


def _of_url(value: str) -> Iterable[str]:
    """The user, the password and the query of a URL, also of one that is not well-formed."""
    rest = value.strip().partition("://")[2] or value.strip()
    user, at, place = rest.rpartition("@")
    if at:
        yield user
        yield user.partition(":")[2]
    query = place.partition("?")[2]
    yield query
    yield from (text for _, text in parse_qsl(query))


def is_header_name(text: str) -> bool:
    """Whether *text* can be the name of an HTTP header (RFC 9110 5.6.2)."""
    return re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", text.strip()) is not None
