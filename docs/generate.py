"""Writes the pages that the code already knows: docs/events.md and docs/settings.md. ``--check`` compares."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from sessionspan.events import Event, Privacy, attributes_of, catalogue
from sessionspan.settings import Settings

HERE = Path(__file__).parent
NOTE = "<!-- Written by docs/generate.py; change the code, then run: python docs/generate.py -->\n\n"

_PRIVACY = {
    Privacy.PLAIN: "",
    Privacy.ADDRESS: "envelope; on spans the domain only",
    Privacy.HOST: "envelope",
    Privacy.REMARK: "envelope; not on spans",
    Privacy.CONTENT: "content; not exported",
}
_TYPES = {"tuple[str, ...]": "string[]", "str": "string", "float": "double", "bool": "boolean"}


def events_page() -> str:
    """The catalogue: every event with its attributes."""
    parts = [NOTE, (HERE / "events-intro.md").read_text(), "\n"]
    for event in catalogue():
        parts.append(_event(event))
    return "".join(parts).rstrip() + "\n"


def _event(event: type[Event]) -> str:
    lines = [f"### `{event.name}`\n", f"{event.__doc__} Severity {event.severity.name}.\n"]
    rows = [
        f"| `{found.key}` | {_type(event, found.field)} | {_PRIVACY[found.privacy]} |"
        for found in attributes_of(event)
        if found.key is not None
    ]
    if any(found.key is None for found in attributes_of(event)):
        rows.append("| all attributes of the span that are known by then, but the plain twins | | |")
    if rows:
        lines += ["| attribute | type | privacy |\n|---|---|---|\n" + "\n".join(rows) + "\n"]
    else:
        lines += ["No attributes besides the identity.\n"]
    if event.seed_names:
        lines += ["Known elsewhere as: " + ", ".join(f"`{name}`" for name in event.seed_names) + ".\n"]
    return "\n".join(lines) + "\n"


def _type(event: type[Event], field: str) -> str:
    (found,) = [f for f in dataclasses.fields(event) if f.name == field]
    text = str(found.type).removesuffix(" | None")
    return _TYPES.get(text, text)


def settings_page() -> str:
    """Every setting, in the order of the code."""
    rows = []
    for field in dataclasses.fields(Settings):
        data = field.metadata
        default = f"`{data['default']}`" if data["default"] else "(empty)"
        rows.append(f"| `{data['variable']}` | {data['values']} | {default} | {data['meaning']} |")
    return (
        NOTE
        + (HERE / "settings-intro.md").read_text()
        + "\n"
        + "\n".join(["| variable | values | default | meaning |", "|---|---|---|---|", *rows, ""])
    )


PAGES = {"events.md": events_page, "settings.md": settings_page}


def main(check: bool) -> int:
    """Write the pages, or say which are out of date."""
    stale = [
        name
        for name, page in PAGES.items()
        if (HERE / name).exists() is False or (HERE / name).read_text() != page()
    ]
    for name in stale:
        if not check:
            (HERE / name).write_text(PAGES[name]())
        print(f"docs/{name} {'is out of date' if check else 'written'}")  # noqa: T201
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
