"""The docs are what the code says: pages are current, links lead somewhere, code runs, the site builds."""

from __future__ import annotations

import importlib.util
import json
import os
import pkgutil
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import datetime
from importlib import metadata
from pathlib import Path

import pytest

from sessionspan_aiosmtpd import AiosmtpdInstrumentor

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    if not page.is_relative_to(ROOT / "docs" / "_build")
)


def docs_python() -> list[str]:
    """A Python with the group ``docs``: this one, else one that uv makes, when it runs us (CI, the README)."""
    if all(importlib.util.find_spec(module) for module in ("sphinx", "furo", "myst_parser", "yaml")):
        return [sys.executable]
    if "UV" in os.environ:
        return [os.environ["UV"], "run", "--isolated", "--no-default-groups", "--group", "docs", "python"]
    pytest.skip("needs the group docs: uv run --group docs pytest")


def test_generated_pages_are_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_in_the_checkout_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def blocks(page: Path) -> list[str]:
    return [
        re.sub(rf"^{indent}", "", code, flags=re.MULTILINE)
        for indent, code in re.findall(r"^( *)```python\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    ]


@pytest.fixture
def uninstrumented() -> Iterator[None]:
    """What a page instruments is taken back: tests that follow have providers of their own."""
    yield
    if AiosmtpdInstrumentor().is_instrumented_by_opentelemetry:
        AiosmtpdInstrumentor().uninstrument()


@pytest.mark.usefixtures("uninstrumented")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_python_in_the_docs_runs(page: Path) -> None:
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), {"__name__": "docs"})


def test_the_formatter_of_the_quick_start_prints_the_line_that_it_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = ROOT / "docs" / "quick-start.md"
    (code,) = [block for block in blocks(page) if "JSONLines" in block]
    exec(compile(code, str(page), "exec"), {"__name__": "docs"})
    printed = json.loads(capsys.readouterr().out)
    (shown,) = re.findall(r"^```json\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    assert list(printed) == list(json.loads(shown))
    varying = ("timestamp", "session_id")
    assert uuid.UUID(printed["session_id"]).version == 4
    assert printed["timestamp"].endswith("Z")
    datetime.fromisoformat(printed["timestamp"].removesuffix("Z"))
    for line in (printed, expected := json.loads(shown)):
        for key in varying:
            del line[key]
    assert printed == expected


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    build: list[str | Path] = [
        *docs_python(),
        "-m",
        "sphinx",
        "-nW",
        "--keep-going",
        "-q",
        "-d",
        tmp_path / "trees",
        "docs",
    ]
    done = subprocess.run([*build, tmp_path / "site"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "index.html").exists()


def test_every_page_is_in_the_navigation() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    entries = {line for tree in re.findall(r"```{toctree}\n(.*?)```", index, re.DOTALL) for line in tree.split()}
    pages = {page.relative_to(ROOT / "docs").with_suffix("").as_posix() for page in PAGES if "docs" in page.parts}
    assert {page for page in pages if not page.endswith("-intro")} - {"index"} <= entries


def test_every_setting_is_explained_where_people_look_for_it() -> None:
    security = (ROOT / "docs" / "security.md").read_text()
    for variable in ("IDENTITY", "ENVELOPE", "CAPTURE", "INTERACTIONS", "HASH_KEY", "UNSAMPLED", "MAX_EVENTS"):
        assert f"`SESSIONSPAN_{variable}`" in security


REGISTRY = "".join(
    (ROOT / "docs" / "semconv" / f"{file}.yaml").read_text() for file in ("attributes", "events", "metrics")
)
SOURCES = "".join(file.read_text() for root in ("src", "instrumentation") for file in (ROOT / root).rglob("*.py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_name_of_ours_in_the_docs_is_one_that_the_code_has(page: Path) -> None:
    text = page.read_text()
    known = set(re.findall(r"[\w.]+", REGISTRY))
    for name in re.findall(r"`(sessionspan\.[a-z_.]+[a-z])`", text):
        assert name in known or f'"{name}"' in SOURCES or importable(name), name
    settings = (ROOT / "docs" / "settings.md").read_text()
    for variable in re.findall(r"`(SESSIONSPAN_[A-Z_]+[A-Z])", text):
        assert f"`{variable}`" in settings, variable


def importable(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_every_instrumentation_is_in_the_table_of_supported_technologies() -> None:
    table = (ROOT / "docs" / "supported-technologies.md").read_text()
    points = [point.name for point in metadata.entry_points(group="opentelemetry_instrumentor")]
    for folder in (ROOT / "instrumentation").glob("sessionspan_*"):
        # Of twisted there are three, one for each protocol.
        names = [name for name in points if name == folder.name or name.startswith(f"{folder.name}_")]
        assert names
        assert [name for name in names if f"`{name}`" not in table] == []


def test_the_readmes_first_two_shell_blocks_are_the_two_commands() -> None:
    first, second, *_ = re.findall(
        r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert first.strip().endswith("sessionspan demo")
    assert second.strip().endswith("uv run pytest")
    assert len(first.strip().splitlines()) == len(second.strip().splitlines()) == 1
