"""Dependencies point one way; this reads the imports and holds them to it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "src" / "sessionspan"
INSTRUMENTATION = ROOT / "instrumentation"
# What is for the process as a whole, not for an instrumentation: these may know the SDK.
ABOVE_THE_CORE = (
    "cli/",
    "distro.py",
    "sdk/limits.py",
    "sdk/memory.py",
    "sdk/records.py",
    "sdk/spans.py",
    "sinks/",
    "testing.py",
)


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module that *path* imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def core_files() -> list[Path]:
    return [path for path in sources(CORE) if not path.relative_to(CORE).as_posix().startswith(ABOVE_THE_CORE)]


@pytest.mark.parametrize("path", [*core_files(), *sources(INSTRUMENTATION)], ids=lambda p: p.stem)
def test_the_core_and_the_instrumentations_know_no_sdk(path: Path) -> None:
    assert not [
        name for name in imported(path) if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))
    ]


@pytest.mark.parametrize("path", sources(CORE), ids=lambda p: p.stem)
def test_nothing_in_the_core_imports_an_instrumentation(path: Path) -> None:
    assert not [name for name in imported(path) if name.startswith("sessionspan_")]


@pytest.mark.parametrize("path", core_files(), ids=lambda p: p.stem)
def test_the_core_imports_nothing_of_what_stands_above_it(path: Path) -> None:
    above = tuple(
        f"sessionspan.{name.rstrip('/').removesuffix('.py').replace('/', '.')}" for name in ABOVE_THE_CORE
    )
    assert not [name for name in imported(path) if name.startswith(above)]


@pytest.mark.parametrize("path", sources(INSTRUMENTATION), ids=lambda p: p.parent.name + "/" + p.stem)
def test_an_instrumentation_only_looks(path: Path) -> None:
    """No try/except, no span, no attribute key: the core holds all of that."""
    tree = ast.parse(path.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    assert not [name for name in imported(path) if name.startswith(("opentelemetry", "sessionspan.names"))]
    library = path.parent.name.removeprefix("sessionspan_")
    assert not [name for name in imported(path) if name.partition(".")[0] == library]


@pytest.mark.parametrize("path", sources(CORE / "protocols"), ids=lambda p: p.stem)
def test_observers_do_no_io_and_know_no_telemetry(path: Path) -> None:
    for name in imported(path):
        assert name.partition(".")[0] not in ("opentelemetry", "socket", "ssl", "asyncio", "threading", "logging")
        if name.startswith("sessionspan."):
            assert name.startswith(("sessionspan.protocols", "sessionspan.events")), name


def test_only_one_place_adds_span_events() -> None:
    found = [
        path.name for path in [*sources(CORE), *sources(INSTRUMENTATION)] if ".add_event(" in path.read_text()
    ]
    assert found == ["span_writer.py"]


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("sessionspan", ("rich", "click", "opentelemetry.sdk", "opentelemetry.exporter", "requests", "grpc")),
        ("sessionspan_aiosmtpd", ("rich", "click", "opentelemetry.sdk", "aiosmtpd", "requests", "grpc")),
        ("sessionspan.distro", ("rich", "click", "aiosmtpd", "requests", "grpc")),
        ("sessionspan.sinks.console", ("rich", "click")),
    ],
)
def test_importing_a_module_imports_nothing_that_the_host_would_feel(module: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*sorted(m for m in {absent!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
