"""The template for an instrumentation is one: it passes its own tests and those that every instrumentation has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEMPLATE = ROOT / "templates" / "instrumentation"

pytestmark = pytest.mark.skipif(not TEMPLATE.exists(), reason="the templates are in the checkout only")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which foolib 1.0 is installed, and the template's entry point with it."""
    installed = tmp_path / "foolib-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: foolib\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        "[opentelemetry_instrumentor]\nsessionspan_foolib = sessionspan_foolib:FoolibInstrumentor\n"
    )
    paths = os.pathsep.join(map(str, (tmp_path, TEMPLATE, ROOT)))
    return os.environ | {"PYTHONPATH": paths, "PYTEST_ADDOPTS": ""}


def run(environment: dict[str, str], directory: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_template_passes_its_own_tests(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import fresh_settings, recorder\n")
    copy = shutil.copy(TEMPLATE / "test_foolib.py", tmp_path)
    assert re.search(r"\b8 passed", run(environment, tmp_path, str(copy)))


def test_the_template_passes_the_conformance_tests(environment: dict[str, str]) -> None:
    assert re.search(r"\b1\d passed", run(environment, ROOT, "tests/test_conformance.py", "-k", "foolib"))


def test_the_template_only_looks() -> None:
    """As `tests/test_layers.py` has it for the real ones."""
    source = (TEMPLATE / "sessionspan_foolib" / "__init__.py").read_text()
    assert not re.search(r"^\s*(except|try)\b|^(from|import) (opentelemetry|foolib)", source, re.MULTILINE)
