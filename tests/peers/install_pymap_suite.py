"""Install pymap's own test suite into `.tools/pymap-suite`: python -m tests.peers.install_pymap_suite

The tests are those of the sdist, which only has them. They need an environment of their own: an older pytest than
ours (their fixtures are class methods), and pymap's admin service, whose protobuf OTLP's exporters do not take.
Needs pip, and the network.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path
from typing import Final

VERSION: Final = "0.36.7"
PLACE: Final = Path(__file__).parents[2] / ".tools" / "pymap-suite"
PYTHON: Final = PLACE / "bin" / "python"
SUITE: Final = PLACE / f"pymap-{VERSION}"  # its tests and settings, without its code
COMMAND: Final = "python -m tests.peers.install_pymap_suite"

_NEEDS: Final = (
    f"pymap[admin,macaroon,sieve]=={VERSION}",
    "passlib",
    "pytest<8.2",
    "pytest-asyncio<0.24",
    "opentelemetry-sdk",
    "opentelemetry-instrumentation",
)


def is_installed() -> bool:
    """Whether the suite and what it needs are there."""
    return SUITE.exists() and PYTHON.exists()


def install() -> None:
    """Make the environment, and put the tests beside it."""
    venv.create(PLACE, clear=True, with_pip=True)
    _pip("install", *_NEEDS)
    with tempfile.TemporaryDirectory() as directory:
        _pip("download", "--no-deps", "--no-binary", ":all:", "--dest", directory, f"pymap=={VERSION}")
        (sdist,) = Path(directory).glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            wanted = [
                member
                for member in archive
                if member.name.split("/")[1] in ("test", "pyproject.toml", "LICENSE.md")
            ]
            archive.extractall(PLACE, wanted, filter="data")


def _pip(*arguments: str) -> None:
    subprocess.run([PYTHON, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


if __name__ == "__main__":
    if sys.version_info < (3, 11):
        sys.exit("pymap needs Python 3.11 or later.")
    install()
