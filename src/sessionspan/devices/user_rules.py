"""Rules of users, in the form that netutils' `sanitize_config` takes: a list of {"regex": ..., "replace": ...}.

Read from a file: JSON, or Python with a list in it (raw strings need no doubled backslashes); it is never run.
https://netutils.readthedocs.io/en/latest/dev/code_reference/config/ (``netutils.config.clean``)
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from sessionspan.devices.places import REMOVED
from sessionspan.devices.rules import Rewrite

OwnRules: TypeAlias = tuple[Rewrite, ...]


class Unusable(NamedTuple):
    """A file of rules that cannot be used: what it should have removed is not known, so nothing may leave."""

    path: str
    reason: str


def parse(path: str) -> OwnRules | Unusable:
    """The rules in the file *path*, or why there are none; an empty path has none."""
    try:
        return read(path)
    except ValueError as error:
        return Unusable(path, " ".join(str(error).split()))


def read(path: str) -> OwnRules:
    """The rules in the file *path*; an empty path has none.

    Raises:
        ValueError: the file or one of its rules cannot be used; the text says which, and why.
    """
    if not path.strip():
        return ()
    file = Path(path.strip()).expanduser()
    try:
        text = file.read_text(encoding="utf-8")
        entries = _list_in(text) if file.suffix == ".py" else json.loads(text)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    except (ValueError, SyntaxError, RecursionError) as error:
        kind = "Python file with a list" if file.suffix == ".py" else "JSON file"
        raise ValueError(f"is not a {kind} ({error})") from None
    if not isinstance(entries, list) or not entries:
        raise ValueError('must hold a list of {"regex": ..., "replace": ...}')
    return tuple(_rewrite(number, entry) for number, entry in enumerate(entries, 1))


def _list_in(text: str) -> Any:
    """The first list in the Python source *text*, whatever name it is given."""
    for node in ast.parse(text).body:
        value = getattr(node, "value", None)
        if isinstance(value, ast.List):
            try:
                return ast.literal_eval(value)
            except ValueError:
                raise ValueError("its list holds more than texts") from None
    raise ValueError("no list at its top level")


def _rewrite(number: int, entry: Any) -> Rewrite:
    if not isinstance(entry, dict) or not isinstance(entry.get("regex"), str) or set(entry) - {"regex", "replace"}:
        raise ValueError(f'has no {{"regex": ..., "replace": ...}} as rule {number}')
    replace = entry.get("replace", REMOVED)
    if not isinstance(replace, str):
        raise ValueError(f"has a replacement that is no text in rule {number}")
    try:
        pattern = re.compile(entry["regex"], re.MULTILINE)  # as netutils does
        pattern.sub(replace, "")  # refuses groups that the pattern does not have
    except (re.error, IndexError, RecursionError, OverflowError) as error:
        raise ValueError(f"has a rule {number} that is no regular expression ({error})") from None
    return Rewrite(pattern, replace)
