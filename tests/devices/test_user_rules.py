"""Rules of users: read from a file, applied after ours; and a file that cannot be used lets nothing out."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from sessionspan import settings as settings_module
from sessionspan.devices import netconan
from sessionspan.devices.secrets import UNREADABLE, Secrets
from sessionspan.settings import load

RULES = [
    {"regex": r"^(circuit-id) \S+$", "replace": r"\1 <gone>"},
    {"regex": r"CUST-\d+"},
]
TEXT = "circuit-id AB12\npassword x1y2z3\nfor CUST-007"


def use(monkeypatch: pytest.MonkeyPatch, path: Path | str) -> None:
    monkeypatch.setenv("SESSIONSPAN_REDACT_RULES", str(path))
    settings_module.reload()


def test_json_rules_are_applied_after_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(RULES))
    use(monkeypatch, file)
    assert Secrets().redact(TEXT) == "circuit-id <gone>\npassword ***\nfor ***"


def test_a_python_file_is_read_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rules.py"
    file.write_text(f"import os\nos.mkdir({str(tmp_path / 'made')!r})\nSANITIZE_FILTERS = {RULES!r}\n")
    use(monkeypatch, file)
    assert Secrets().redact(TEXT) == "circuit-id <gone>\npassword ***\nfor ***"
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.json", None, "cannot be read (No such file or directory)"),
        ("x.json", "[{", "is not a JSON file ("),
        ("x.py", "x = (", "is not a Python file with a list ("),
        ("x.py", "x = 1", "is not a Python file with a list (no list at its top level)"),
        ("x.py", "x = [open('/etc/passwd')]", "(its list holds more than texts)"),
        ("x.json", "{}", 'must hold a list of {"regex": ..., "replace": ...}'),
        ("x.json", "[]", "must hold a list of"),
        ("x.json", '["a"]', 'has no {"regex": ..., "replace": ...} as rule 1'),
        ("x.json", '[{"regex": "a"}, {"regex": "b", "with": ""}]', "as rule 2"),
        ("x.json", '[{"regex": "(", "replace": ""}]', "has a rule 1 that is no regular expression ("),
        ("x.json", '[{"regex": "a", "replace": "\\\\1"}]', "has a rule 1 that is no regular expression ("),
        ("x.json", '[{"regex": "a", "replace": 1}]', "has a replacement that is no text in rule 1"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_lets_nothing_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    content: str | None,
    said: str,
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    (line,) = load({"SESSIONSPAN_REDACT_RULES": str(file)})[1]
    assert line.startswith(f"SESSIONSPAN_REDACT_RULES='{file}': it ")
    assert said in line
    assert line.endswith("until that is mended, no text of devices leaves.")
    assert "\n" not in line
    with caplog.at_level(logging.WARNING):
        use(monkeypatch, file)
    assert [record.getMessage() for record in caplog.records] == [f"sessionspan: {line}"]
    assert Secrets().redact("show version") == UNREADABLE


def test_netconan_asked_for_and_not_there_is_one_line_and_lets_nothing_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(netconan, "installed", lambda: False)
    (line,) = load({"SESSIONSPAN_NETCONAN": "on"})[1]
    assert line == (
        "SESSIONSPAN_NETCONAN=on needs netconan: pip install 'sessionspan[netconan]'; until then, no text of "
        "devices leaves."
    )
    monkeypatch.setenv("SESSIONSPAN_NETCONAN", "on")
    settings_module.reload()
    assert Secrets().redact("show version") == UNREADABLE
