"""The docs are what the code says: generated pages are current, links lead somewhere, code runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


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


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_python_in_the_docs_runs(page: Path) -> None:
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), {"__name__": "docs"})


def test_every_instrumentation_is_in_the_table_of_supported_technologies() -> None:
    table = (ROOT / "docs" / "supported-technologies.md").read_text()
    for folder in (ROOT / "instrumentation").iterdir():
        if folder.name != "__pycache__":
            assert f"`{folder.name}`" in table


def test_the_readmes_first_two_shell_blocks_are_the_two_commands() -> None:
    first, second, *_ = re.findall(
        r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert first.strip().endswith("sessionspan demo")
    assert second.strip().endswith("uv run pytest")
    assert len(first.strip().splitlines()) == len(second.strip().splitlines()) == 1
