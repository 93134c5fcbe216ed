"""Which interpreter a command runs in, and whether that one can be instrumented.

The launcher's way in is a directory on ``PYTHONPATH``. An interpreter that cannot import OpenTelemetry from
there, or that ignores ``PYTHONPATH``, runs the program all the same and records nothing: so it is asked first.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Final

PYTHON: Final = re.compile(r"(?:python|pypy)(\d+(?:\.\d+)?)?w?(?:\.exe)?", re.IGNORECASE)
_LAUNCHER: Final = "opentelemetry.instrumentation.auto_instrumentation"

# Any Python, 2.7 as well, can run this: it says who it is, and where its launcher is or what is missing.
_PROBE: Final = """
import json, os, sys
found = {"version": "%d.%d.%d" % tuple(sys.version_info[:3])}
try:
    import sessionspan
    from importlib.util import find_spec
    launcher = find_spec("opentelemetry.instrumentation.auto_instrumentation")
    found["launcher"] = list(launcher.submodule_search_locations)[0]
except Exception as error:
    found["missing"] = str(error)
print(json.dumps(found))
"""
_PATIENCE: Final = 30.0  # seconds that an interpreter gets to answer

# pip and uv write this for an interpreter whose path has a space or is too long for a shebang.
_EXEC_LINE: Final = re.compile(rb"'''exec' (?:\"([^\"]+)\"|(\S+))")


class Refused(Exception):
    """The program cannot be run instrumented; the text says why and what to do, *code* is the exit code."""

    def __init__(self, text: str, code: int = 2) -> None:
        super().__init__(text)
        self.code = code


def own_launcher() -> str:
    """The launcher's directory, for the interpreter that runs this."""
    spec = find_spec(_LAUNCHER)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return spec.submodule_search_locations[0]


def is_ours(name: str) -> bool:
    """Whether the bare command *name* (python, python3, python3.11) means the interpreter that runs this."""
    match = PYTHON.fullmatch(name)
    if match is None or name.lower().startswith("pypy"):
        return False
    major, minor = sys.version_info[:2]
    return match[1] in (None, str(major), f"{major}.{minor}")


def launcher_of(interpreter: str, what: str) -> str:
    """The launcher's directory for the Python at path *interpreter*; `Refused` when it would not record *what*."""
    if os.path.abspath(interpreter) == os.path.abspath(sys.executable):
        return own_launcher()
    found = _ask(interpreter)
    if "launcher" in found:
        return found["launcher"]
    where = interpreter if what == interpreter else f"{what}: {interpreter}"
    version = found.get("version")
    if version is None:
        raise Refused(f"{where} does not run: {found['missing']}", 126)
    if tuple(map(int, version.split(".")[:2])) < (3, 10):
        raise Refused(f"{where} is Python {version}; sessionspan needs 3.10 or later.")
    raise Refused(
        f"{where} (Python {version}) cannot import sessionspan, so nothing would be recorded.\n"
        f"  found there:  {found['missing']}\n"
        f"  install it:   {shlex.quote(interpreter)} -m pip install sessionspan\n"
        f"  or run with {sys.executable}, which has it:  sessionspan run python ..."
    )


def _ask(interpreter: str) -> dict[str, str]:
    try:
        answer = subprocess.run(
            [interpreter, "-c", _PROBE], stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE
        )
        if answer.returncode == 0:
            found: dict[str, str] = json.loads(answer.stdout)
            return found
        said = answer.stderr.decode(errors="replace").strip()
        return {"missing": said.splitlines()[0] if said else f"exit code {answer.returncode}"}
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return {"missing": str(error)}


def refuse_isolation(arguments: Sequence[str]) -> None:
    """Refuse interpreter options that keep the launcher out; *arguments* are what follows the interpreter."""
    for option in _options(arguments):
        if option in "IES":
            raise Refused(
                f"python -{option} keeps sessionspan out (it ignores PYTHONPATH or site), so nothing would be "
                "recorded. Leave it out; -s and -P are fine."
            )


def program_of(arguments: Sequence[str]) -> tuple[str, str]:
    """What a Python with *arguments* runs: ("script", path), ("module", name), ("code", text) or ("", "")."""
    rest = list(arguments)
    for option in _options(arguments, rest):
        if option in "cm":
            return ("code" if option == "c" else "module", rest[0] if rest else "")
    return ("script", rest[0]) if rest and rest[0] != "-" else ("", "")


def _options(arguments: Sequence[str], rest: list[str] | None = None) -> Iterator[str]:
    """The interpreter's own one-letter options; *rest* is left with the arguments after those given out."""
    rest = list(arguments) if rest is None else rest
    while rest and rest[0].startswith("-") and rest[0] not in ("-", "--"):
        word = rest.pop(0)
        if word == "--check-hash-based-pycs":
            del rest[:1]
        if word.startswith("--"):
            continue
        for place, letter in enumerate(word[1:], start=2):
            if letter in "cmWX":  # takes a value: the rest of the word, else the next one
                value = word[place:]
                if letter in "cm":
                    if value:
                        rest.insert(0, value)
                    yield letter
                    return
                if not value:
                    del rest[:1]
                break
            yield letter
    if rest and rest[0] == "--":
        del rest[0]


def shebang(path: str) -> list[str] | None:
    """The Python interpreter and its options that the script at *path* asks for; None when it asks for none."""
    try:
        with open(path, "rb") as script:
            first, second = script.readline(4096), script.readline(4096)
    except OSError:
        return None
    if not first.startswith(b"#!"):
        return None
    words = first[2:].decode(errors="replace").split()
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if word != "-S" and "=" not in word]
    if words and os.path.basename(words[0]) == "sh":
        match = _EXEC_LINE.match(second)
        if match is not None:
            return [os.fsdecode(match[1] or match[2])]
    if not words or PYTHON.fullmatch(os.path.basename(words[0])) is None:
        return None
    return words
