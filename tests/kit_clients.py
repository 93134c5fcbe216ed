"""Real mail clients of the command line: curl, fetchmail, mbsync. Absent, they say how they are installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

PATIENCE = 30.0  # seconds; a bound against hanging, never a measurement
_PACKAGES = {"mbsync": "isync"}


class Place(NamedTuple):
    """Where a server is, and what a client needs to log in to it."""

    port: int
    directory: Path
    authority: Path  # the certificate of who signed the server's
    user: str = "alice"
    password: str = "secret"


def tool(name: str) -> str:
    """The path of a program that .ci/run installs."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {_PACKAGES.get(name, name)}")
    return found


def _run(*command: str | Path, home: Path, good: tuple[int, ...] = (0,)) -> bytes:
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(home), "FETCHMAILHOME": str(home), "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, env=environ, cwd=home)
    assert done.returncode in good, done.stdout + done.stderr
    return done.stdout


def curl(
    place: Place, url: str, *options: str, password: str | None = None, good: tuple[int, ...] = (0,)
) -> bytes:
    """What curl gets from *url*, of which ``{port}`` is the server's port."""
    user = f"{place.user}:{place.password if password is None else password}"
    return _run(
        tool("curl"),
        *("--silent", "--show-error", "--noproxy", "*", "--user", user, "--cacert", place.authority),
        *options,
        url.format(port=place.port),
        home=place.directory,
        good=good,
    )


def fetchmail(place: Place, protocol: str, auth: str, *options: str) -> bytes:
    """All mail that fetchmail fetches, as it hands it to a program."""
    mail = place.directory / "fetched"
    configuration = place.directory / "fetchmailrc"
    words = [
        f"poll localhost protocol {protocol} service {place.port} auth {auth}",
        f'user "{place.user}" password "{place.password}"',
        f'keep no rewrite fetchall sslcertfile "{place.authority}"',
        *options,
        f"mda \"cat >>'{mail}'\"",
    ]
    configuration.write_text(" ".join(words) + "\n")
    configuration.chmod(0o600)
    _run(tool("fetchmail"), "--verbose", "--fetchmailrc", configuration, "--nosyslog", home=place.directory)
    return mail.read_bytes()


def mbsync(place: Place, *lines: str) -> list[Path]:
    """The messages of INBOX, after mbsync has brought them to a maildir."""
    maildir = place.directory / "mail"
    maildir.mkdir(exist_ok=True)
    configuration = place.directory / "mbsyncrc"
    words = [
        "IMAPAccount remote",
        f"Host localhost\nPort {place.port}",
        f"User {place.user}\nPass {place.password}",
        f"CertificateFile {place.authority}",
        *lines,
        "",
        "IMAPStore remote\nAccount remote",
        "",
        f"MaildirStore local\nPath {maildir}/\nInbox {maildir}/INBOX\nSubFolders Verbatim",
        "",
        "Channel all\nFar :remote:\nNear :local:\nPatterns INBOX\nCreate Near\nSync Pull\nSyncState *",
    ]
    configuration.write_text("\n".join(words) + "\n")
    _run(tool("mbsync"), "--config", configuration, "all", home=place.directory)
    return sorted(path for kind in ("cur", "new") for path in (maildir / "INBOX" / kind).iterdir())
