"""Writes what the code already knows: the pages events, metrics and settings, and the registry in semconv/.

``--check`` compares. Needs nothing but sessionspan itself: its YAML is simple enough to be written by hand.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from opentelemetry.metrics import Counter, Histogram
from semconv_text import (
    ATTRIBUTES,
    DEPENDENCY,
    DEPENDENCY_PATH,
    DESCRIPTION,
    IDENTITY_BRIEFS,
    MEMBERS,
    OPENTELEMETRY,
    SPAN,
    SPAN_BRIEFS,
    SPAN_NAME,
    SPAN_NOTE,
    OnSpan,
    Text,
)

from sessionspan import devices, facts, metrics, names, protocols
from sessionspan.devices.blocks import SECTIONS
from sessionspan.devices.places import REMOVED
from sessionspan.devices.table import TABLE
from sessionspan.ending import END_REASONS, OUTCOMES
from sessionspan.events import Event, Privacy, attributes_of, catalogue
from sessionspan.events.keys import REPLY_STATUS
from sessionspan.projection import SYSTEMS
from sessionspan.protocols.sasl import MECHANISMS
from sessionspan.redaction import hashed_key
from sessionspan.session import Side
from sessionspan.settings import Settings

HERE = Path(__file__).parent
NOTE = "<!-- Written by docs/generate.py; change the code, then run: python docs/generate.py -->\n\n"
YAML_NOTE = "# Written by docs/generate.py; change the code or docs/semconv_text.py, then run it.\n"

_CLASSES: Final = {
    Privacy.PLAIN: "",
    Privacy.IDENTITY: "identity",
    Privacy.ADDRESS: "envelope; on spans the domain",
    Privacy.HOST: "envelope; on spans the domain",
    Privacy.REMARK: "envelope; not on spans",
    Privacy.COMMAND: "content: from level `commands`",
    Privacy.ENVELOPE_COMMAND: "content: from level `commands`; envelope; not on spans",
    Privacy.CONTENT: "content: from level `content`",
    Privacy.ENVELOPE_CONTENT: "content: from level `content`; envelope; not on spans",
}
_TYPES: Final = {"tuple[str, ...]": "string[]", "str": "string", "float": "double", "bool": "boolean"}
_HASHED: Final = (Privacy.IDENTITY, Privacy.ADDRESS, Privacy.HOST)
_CONTENT: Final = (Privacy.COMMAND, Privacy.ENVELOPE_COMMAND, Privacy.CONTENT, Privacy.ENVELOPE_CONTENT)
_KINDS: Final = {Counter: "counter", Histogram: "histogram"}


def verbs() -> tuple[str, ...]:
    """The commands of all protocols that there are observers of."""
    modules = pkgutil.walk_packages(protocols.__path__, f"{protocols.__name__}.")
    found = (getattr(importlib.import_module(module.name), "VERBS", ()) for module in modules)
    return (*sorted({verb for each in (*found, devices.VERBS) for verb in each}), "_OTHER")


# Closed sets of values that the code has.
_SETS: Final[dict[str, tuple[str, ...]]] = {
    names.SIDE: tuple(side.value for side in Side),
    names.OUTCOME: OUTCOMES,
    names.END_REASON: END_REASONS,
    metrics.DROP_REASON: metrics.DROP_REASONS,
    metrics.COMMAND_NAME: verbs(),
    metrics.MECHANISM: (*sorted(MECHANISMS), "_OTHER"),
    metrics.MAIL_TYPE: tuple(
        event.name.rpartition(".")[2] for event in catalogue() if event.name.startswith("sessionspan.mail.")
    ),
}


# What the code says, as the pages and the registry need it.


class Field:
    """One attribute of one event; several fields may share a key (a command's text, by what it holds)."""

    def __init__(self, event: type[Event], key: str, found: list[tuple[str, Privacy]]) -> None:
        kinds = {f.name: str(f.type) for f in dataclasses.fields(event)}
        types = [kinds[name] for name, _ in found]
        self.key = key
        self.type = _type(types[0])
        self.optional = all(text.endswith(" | None") for text in types)
        self.privacy = [privacy for _, privacy in found]


def fields_of(event: type[Event]) -> list[Field]:
    """The attributes of *event* besides the identity; none for those that repeat the span."""
    by_key: dict[str, list[tuple[str, Privacy]]] = {}
    for name, key, privacy, _ in attributes_of(event):
        if key is not None:
            by_key.setdefault(key, []).append((name, privacy))
    return [Field(event, key, found) for key, found in by_key.items()]


def repeats_the_span(event: type[Event]) -> bool:
    """Whether *event* carries what its span says."""
    return any(found.key is None for found in attributes_of(event))


def hashes() -> dict[str, tuple[str, str]]:
    """The keys under which hashes go: for each the key that it stands for, and its type."""
    found = {hashed_key(names.USER_NAME): (names.USER_NAME, "string")}
    found[hashed_key(names.CLIENT_ADDRESS)] = (names.CLIENT_ADDRESS, "string")
    for event in catalogue():
        for field in fields_of(event):
            if field.privacy[0] in _HASHED:
                found[hashed_key(field.key)] = (field.key, field.type)
    return found


def texts() -> dict[str, Text]:
    """The texts of all attributes of ours, those of hashes made up from what they stand for."""
    found = dict(ATTRIBUTES)
    for key, (plain, kind) in hashes().items():
        if key not in found and key not in OPENTELEMETRY:
            each = "each entry of " if kind == "string[]" else ""
            example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
            found[key] = Text(
                f"HMAC-SHA256 of {each}`{plain}`, in hexadecimal, in its place.",
                kind,
                ((example,) if kind == "string[]" else example,),
            )
    return found


def on_span() -> list[OnSpan]:
    """The attributes of the span; behind those that can be hashed, the key of the hash."""
    told = {found.key for found in SPAN}
    hashed = {plain: key for key, (plain, _) in hashes().items() if key not in told}
    found = []
    for each in SPAN:
        found.append(each)
        if each.key in hashed:
            found.append(OnSpan(hashed[each.key], each.when, {"opt_in": f"In place of `{each.key}`."}))
    return found


def type_of(key: str) -> str:
    """The type of an attribute, ours or OpenTelemetry's."""
    return OPENTELEMETRY[key] if key in OPENTELEMETRY else texts()[key].type


def identity() -> list[str]:
    """The attributes that every event carries, as far as they are known."""
    return [*facts._IDENTITY, names.USER_NAME, names.USER_HASH, names.AUTH_SEQUENCE]


def _type(annotation: str) -> str:
    text = annotation.removesuffix(" | None")
    return _TYPES.get(text, text)


# Pages.


def events_page() -> str:
    """The span, and the catalogue: every event with its attributes."""
    rows = [
        f"| `{found.key}` | {_shown_type(found.key)} | {found.when} | {found.brief or texts()[found.key].brief} |"
        for found in on_span()
    ]
    table = "\n".join(["| attribute | type | when | meaning |", "|---|---|---|---|", *rows])
    intro = (HERE / "events-intro.md").read_text().replace("<!-- the span's attributes -->", table)
    return NOTE + intro + "\n" + "".join(map(_event, catalogue())) + _elsewhere()


def _event(event: type[Event]) -> str:
    lines = [f"### `{event.name}`\n", f"{event.__doc__} Severity {event.severity.name}.\n"]
    rows = [
        f"| `{field.key}` | {field.type} | {_meaning(field.key)} | {_privacy(field)} |"
        for field in fields_of(event)
    ]
    if repeats_the_span(event):
        lines += ["All attributes of the span that are known by then, but the plain names.\n"]
    elif rows:
        lines += ["| attribute | type | meaning | class |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"]
    else:
        lines += ["No attributes besides the identity.\n"]
    return "\n".join(lines) + "\n"


def _elsewhere() -> str:
    """The table of what other systems call the events."""
    rows = [
        f"| `{event.name.removeprefix('sessionspan.')}` | "
        + " | ".join(", ".join(f"`{name}`" for name in getattr(event.seed_names, system)) for system in SYSTEMS)
        + " |"
        for event in catalogue()
        if any(event.seed_names)
    ]
    intro = "## Known elsewhere as\n\nMore of each system is in [Coming from other systems](migration.md).\n\n"
    head = f"| event | {' | '.join(SYSTEMS.values())} |\n|---{'|---' * len(SYSTEMS)}|\n"
    return intro + head + "\n".join(rows) + "\n"


def _meaning(key: str) -> str:
    briefs = {found.key: found.brief for found in SPAN}
    return texts()[key].brief if key in ATTRIBUTES else briefs.get(key) or _OF_OPENTELEMETRY[key]


_OF_OPENTELEMETRY: Final = {
    "exception.type": "The exception's class.",
    "exception.message": "The exception's text, without credentials.",
}


def _privacy(field: Field) -> str:
    return _CLASSES[field.privacy[0]]


def _shown_type(key: str) -> str:
    text = type_of(key)
    values = _values(key)
    return ", ".join(f"`{value}`" for value in values) if 0 < len(values) <= 5 else text


def metrics_page() -> str:
    """Every metric with its labels and bounds."""
    parts = [NOTE, (HERE / "metrics-intro.md").read_text(), "\n"]
    rows = [
        f"| `{row.name}` | {_instrument(row)} | `{row.unit}` | {row.meaning} | {_labels(row)} |"
        for row in metrics.TABLE
    ]
    parts += ["| metric | instrument | unit | meaning | further labels |\n|---|---|---|---|---|\n"]
    parts += ["\n".join(rows), "\n\n## Labels\n\n| label | values |\n|---|---|\n"]
    for label in dict.fromkeys(label for row in metrics.TABLE for label in (*metrics.COMMON, *row.labels)):
        values = ", ".join(f"`{value}`" for value in _values(label))
        parts.append(f"| `{label}` | {values or _OPEN_LABELS[label]} |\n")
    parts += ["\n## Bounds of the histograms\n\nIn seconds.\n\n| metric | bounds |\n|---|---|\n"]
    for row in metrics.TABLE:
        if row.bounds:
            parts.append(f"| `{row.name}` | {', '.join(f'{bound:g}' for bound in row.bounds)} |\n")
    return "".join(parts)


_OPEN_LABELS: Final = {
    names.PROTOCOL_NAME: "the protocol in lower case: `smtp`, `lmtp`, ...",
    names.ERROR_TYPE: "absent when nothing failed; a session's is the class of the exception, a login's is one of "
    "the reasons of `sessionspan.auth.failure`",
}


def _instrument(row: metrics.Instrument) -> str:
    return _KINDS.get(row.kind, "updowncounter")  # type: ignore[arg-type]


def _labels(row: metrics.Instrument) -> str:
    return ", ".join(f"`{label}`" for label in row.labels)


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


def device_secrets_page() -> str:
    """Every rule that finds secrets in the text of devices, by its examples."""
    rows = sorted({(rule.vendor, example) for rule in TABLE for example in rule.examples})
    rows += [(section.vendor, section.example) for section in SECTIONS]
    parts = [NOTE, (HERE / "device-secrets-intro.md").read_text()]
    for vendor in dict.fromkeys(vendor for vendor, _ in rows):
        title = "What many vendors share" if vendor == "any" else f"`{vendor}`"
        lines = "\n".join(text.replace("{secret}", REMOVED).rstrip() for of, text in rows if of == vendor)
        parts.append(f"\n### {title}\n\n```text\n{lines}\n```\n")
    return "".join(parts)


# The registry.


def manifest() -> dict[str, Any]:
    """What Weaver reads first: who we are, and whose names we use."""
    return {
        "schema_url": names.SCHEMA_URL,
        "description": DESCRIPTION,
        "stability": "development",
        "dependencies": [{"schema_url": DEPENDENCY, "registry_path": DEPENDENCY_PATH}],
    }


def attributes() -> dict[str, Any]:
    """The attributes of ours, and the group that every event carries."""
    return _file(
        attributes=[_attribute(key, text) for key, text in sorted(texts().items())],
        attribute_groups=[
            {
                "id": "sessionspan.identity",
                "visibility": "internal",
                "attributes": [_ref(key, _level(key), IDENTITY_BRIEFS.get(key, "")) for key in identity()],
            }
        ],
    )


def spans() -> dict[str, Any]:
    """The session span, once for each side."""
    refs = []
    for found in on_span():
        ref = _ref(found.key, found.level)
        if found.when == "start":
            ref["sampling_relevant"] = True
        refs.append(ref)
    return _file(
        spans=[
            {
                "type": f"sessionspan.session.{kind}",
                "kind": kind,
                "name": {"note": SPAN_NAME},
                "brief": brief,
                "note": SPAN_NOTE,
                "stability": "development",
                "attributes": refs,
            }
            for kind, brief in SPAN_BRIEFS.items()
        ]
    )


def events() -> dict[str, Any]:
    """The catalogue."""
    return _file(events=[_event_definition(event) for event in catalogue()])


def _event_definition(event: type[Event]) -> dict[str, Any]:
    refs: list[dict[str, Any]] = [{"ref_group": "sessionspan.identity"}]
    if repeats_the_span(event):
        refs += [
            _ref(found.key, found.level)
            for found in on_span()
            if found.key not in names.PLAIN_TWINS
            and found.key not in identity()
            and (found.when == "start" or event.name == "sessionspan.session.end")
        ]
    for field in fields_of(event):
        ref = _ref(field.key, _field_level(field))
        if field.privacy[0] is not Privacy.PLAIN:
            classes = sorted({privacy.value for privacy in field.privacy})
            ref["annotations"] = {"sessionspan": {"privacy": classes}}
        refs.append(ref)
        if field.privacy[0] in _HASHED and hashed_key(field.key) not in identity():
            refs.append(_ref(hashed_key(field.key), {"opt_in": f"In place of `{field.key}`."}))
    told: dict[str, Any] = {"severity": event.severity.name}
    seed_names = {system: list(found) for system, found in event.seed_names._asdict().items() if found}
    if seed_names:
        told["seed_names"] = seed_names
    return {
        "name": event.name,
        "brief": str(event.__doc__),
        "stability": "development",
        "annotations": {"sessionspan": told},
        "attributes": refs,
    }


def _field_level(field: Field) -> str | dict[str, str]:
    if field.privacy[0] in _CONTENT:
        return "opt_in"
    if field.privacy[0] is not Privacy.PLAIN:
        return {"recommended": "As far as the settings let it."}
    return {"conditionally_required": "When it is known."} if field.optional else "required"


def metric_definitions() -> dict[str, Any]:
    """The metrics."""
    return _file(metrics=[_metric(row) for row in metrics.TABLE])


def _metric(row: metrics.Instrument) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": row.name,
        "instrument": _instrument(row),
        "unit": row.unit,
        "brief": row.meaning,
        "stability": "development",
    }
    if row.bounds:
        found["annotations"] = {"sessionspan": {"bounds": list(row.bounds)}}
    found["attributes"] = [_ref(label, _level(label)) for label in (*metrics.COMMON, *row.labels)]
    return found


_OWN_LEVELS: Final[dict[str, str | dict[str, str]]] = {
    names.AUTH_SEQUENCE: "required",
    names.ERROR_TYPE: {"conditionally_required": "If and only if it failed."},
    metrics.STATE: "required",
    metrics.MECHANISM: {"conditionally_required": "When the client named one."},
    metrics.COMMAND_NAME: "required",
    REPLY_STATUS: "required",
    metrics.MAIL_TYPE: "required",
    metrics.DROP_REASON: "required",
}


def _level(key: str) -> str | dict[str, str]:
    """How much an attribute is wanted, in an identity or as a label."""
    return _OWN_LEVELS[key] if key in _OWN_LEVELS else next(found.level for found in SPAN if found.key == key)


def _file(**content: Any) -> dict[str, Any]:
    return {"file_format": "definition/2", **content}


def _ref(key: str, level: str | dict[str, str], brief: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"ref": key, "requirement_level": level}
    return found | {"brief": brief} if brief else found


def _attribute(key: str, text: Text) -> dict[str, Any]:
    values = _values(key)
    found: dict[str, Any] = {"key": key, "type": text.type, "brief": text.brief, "stability": "development"}
    if values:
        briefs = MEMBERS.get(key, {})
        found["type"] = {"members": [_member(value, briefs.get(value, "")) for value in values]}
    if text.note:
        found["note"] = text.note
    if text.examples and not values:
        found["examples"] = [list(each) if isinstance(each, tuple) else each for each in text.examples]
    return found


def _member(value: str, brief: str) -> dict[str, str]:
    name = re.sub(r"[^a-z0-9]+", "_", value.lower()).strip("_")
    found = {"id": f"status_{name}" if name[:1].isdigit() else name, "value": value, "stability": "development"}
    return found | {"brief": brief} if brief else found


def _values(key: str) -> tuple[str, ...]:
    """The closed set of an attribute's values, as the code has it or the text says; empty when it is open."""
    return _SETS.get(key) or (ATTRIBUTES[key].values if key in ATTRIBUTES else ())


# YAML, as far as it is needed: maps, lists of them, lists of scalars.

_PLAIN_TEXT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*")
_WORDS: Final = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n", "_"))
_FOLDED: Final = 90  # characters from which a text is folded over lines


def yaml(value: dict[str, Any]) -> str:
    """*value* as YAML, with our note above."""
    return YAML_NOTE + "\n".join(_map(value, "")) + "\n"


def _map(value: dict[str, Any], indent: str) -> Iterator[str]:
    for key, item in value.items():
        if isinstance(item, dict):
            yield f"{indent}{key}:"
            yield from _map(item, indent + "  ")
        elif isinstance(item, list) and any(isinstance(entry, dict) for entry in item):
            yield f"{indent}{key}:"
            for entry in item:
                first, *rest = _map(entry, indent + "    ")
                yield f"{indent}  - {first.lstrip()}"
                yield from rest
        elif isinstance(item, str) and len(item) > _FOLDED:
            yield f"{indent}{key}: >-"
            wrapped = textwrap.wrap(item, 100, break_long_words=False, break_on_hyphens=False)
            yield from (f"{indent}  {line}" for line in wrapped)
        else:
            yield f"{indent}{key}: {_flow(item)}"


def _flow(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, str) and _PLAIN_TEXT.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


PAGES = {
    "events.md": events_page,
    "metrics.md": metrics_page,
    "settings.md": settings_page,
    "device-secrets.md": device_secrets_page,
    "semconv/manifest.yaml": lambda: yaml(manifest()),
    "semconv/attributes.yaml": lambda: yaml(attributes()),
    "semconv/spans.yaml": lambda: yaml(spans()),
    "semconv/events.yaml": lambda: yaml(events()),
    "semconv/metrics.yaml": lambda: yaml(metric_definitions()),
}


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
