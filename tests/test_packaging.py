"""The distribution: what is in the wheel, and that every way to install it from a clone works."""

from __future__ import annotations

import ast
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import sessionspan

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel made from the checkout, an sdist, and a wheel made from that."""
    folder = tmp_path_factory.mktemp("dist")
    build = (sys.executable, "-m", "build", "--no-isolation")
    run(*build, "--wheel", "--outdir", folder / "direct", ROOT)
    run(*build, "--outdir", folder / "by_sdist", ROOT)  # without --wheel: the sdist, and the wheel from it
    return folder


def test_the_wheel_from_the_sdist_is_equal(dist: Path) -> None:
    (direct,) = (dist / "direct").glob("*.whl")
    (by_sdist,) = (dist / "by_sdist").glob("*.whl")
    assert contents(direct) == contents(by_sdist)


def test_the_wheel_holds_both_roots_and_nothing_else(dist: Path) -> None:
    (wheel,) = (dist / "direct").glob("*.whl")
    names = contents(wheel)
    tops = {name.partition("/")[0] for name in names}
    folders = {path.name for path in (ROOT / "instrumentation").iterdir() if path.is_dir()}
    assert tops == {"sessionspan", f"sessionspan-{sessionspan.__version__}.dist-info"} | folders - {"__pycache__"}
    assert not [name for name in names if name.endswith(".md") or "__pycache__" in name]
    for package in {"sessionspan"} | folders - {"__pycache__"}:
        assert f"{package}/py.typed" in names


def test_every_entry_point_leads_somewhere(dist: Path) -> None:
    for point in metadata.distribution("sessionspan").entry_points:
        assert callable(point.load()), point


def test_the_version_is_one() -> None:
    assert sessionspan.__version__ == metadata.version("sessionspan")


def test_no_extra_is_called_instruments() -> None:
    """The launcher checks that extra per distribution: one absent library would switch everything off."""
    extras = metadata.metadata("sessionspan").get_all("Provides-Extra")
    assert extras
    assert not {"instruments", "instruments-any"} & set(extras)


@pytest.mark.parametrize("how", [("-e", "."), (".",), (".[all]",)], ids=" ".join)
def test_pip_installs_from_a_clone(how: tuple[str, ...], tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    # The pip of an older Python gives up where one package of OpenTelemetry's is a release behind the others.
    run(python, "-m", "pip", "install", "-q", "-U", "pip")
    run(python, "-m", "pip", "install", "-q", *how)
    run(python, "-c", "import sessionspan, sessionspan_aiosmtpd, sessionspan.distro", cwd=tmp_path)
    assert sessionspan.__version__ in run(tmp_path / "venv" / "bin" / "sessionspan", "--version", cwd=tmp_path)


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("src/**/*.py")) + sorted(ROOT.glob("instrumentation/**/*.py")), ids=str
)
def test_every_file_says_what_it_is_in_its_first_line(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert path.read_text().startswith('"""')
