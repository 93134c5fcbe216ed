"""Asked inside the program's interpreter, under its launcher: what is in place there. Prints a line of JSON.

This file is handed to that interpreter as text (``-c``), so it imports nothing of ``sessionspan.cli``.
"""

import sys

if __name__ == "__main__":
    sys.path[0] = sys.argv[1]  # the program's folder, as it would be for the program

import contextlib
import importlib
import json
import logging
import os
import platform
import re
import select
import signal
import warnings
from collections.abc import Iterator
from importlib import metadata
from typing import Any

MARK = "sessionspan-doctor:"
SIGNALS = ("traces", "logs", "metrics")
PREFORK = ("gunicorn", "uwsgi", "celery")


def ask() -> dict[str, Any]:
    """Everything that the doctor wants to know."""
    instrumentations = [_instrumentation(point) for point in _ours()]
    return {
        "executable": sys.executable,
        "version": ".".join(map(str, sys.version_info[:3])),
        "sessionspan": metadata.version("sessionspan"),
        "opentelemetry": metadata.version("opentelemetry-sdk"),
        "environ": {key: value for key, value in os.environ.items() if key.startswith(("OTEL_", "SESSIONSPAN_"))},
        "distros": _candidates("opentelemetry_distro"),
        "configurators": _candidates("opentelemetry_configurator"),
        "sdk": _has_sdk(),
        "exporters": _exporters(),
        "known_exporters": {name: _names(f"opentelemetry_{name}_exporter") for name in SIGNALS},
        "log_handler": any(_is_otel_handler(handler) for handler in logging.getLogger().handlers),
        "activity_module": _has_module(os.environ.get("SESSIONSPAN_LOG_ACTIVITY", "").partition(":")[0].strip()),
        "resource": _resource(),
        "forked_instance": _forked_instance(),
        "instrumentations": instrumentations,
        "failures": _failures(),
        "conflicts": list(_conflicts()),
        "prefork": [name for name in PREFORK if _version(name)],
        "sitecustomize": list(_shadowed()),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _names(group: str) -> list[str]:
    return sorted({point.name for point in metadata.entry_points(group=group)})


def _candidates(group: str) -> list[dict[str, Any]]:
    """The distros or configurators that are installed, in the order of the launcher; which of them was made."""
    found = []
    for point in metadata.entry_points(group=group):
        entry: dict[str, Any] = {"name": point.name, "package": "?", "version": "", "made": False, "broken": ""}
        if point.dist is not None:
            entry |= {"package": point.dist.metadata["Name"], "version": point.dist.version}
        try:
            entry["made"] = vars(point.load()).get("_instance") is not None
        except Exception as error:  # noqa: BLE001 - any vendor's module
            entry["broken"] = f"{type(error).__name__}: {error}"
        found.append(entry)
    return found


def _provider(which: str) -> Any:
    if which == "traces":
        from opentelemetry.trace import get_tracer_provider

        return get_tracer_provider()
    from opentelemetry._logs import get_logger_provider

    return get_logger_provider()


def _has_sdk() -> bool:
    return type(_provider("traces")).__module__.startswith("opentelemetry.sdk")


def _exporters() -> dict[str, list[str]]:
    """The classes of the exporters that were made. There is no public way to ask, so it may come out empty."""
    processors = {
        "traces": getattr(getattr(_provider("traces"), "_active_span_processor", None), "_span_processors", ()),
        "logs": getattr(
            getattr(_provider("logs"), "_multi_log_record_processor", None), "_log_record_processors", ()
        ),
    }
    found: dict[str, list[str]] = {}
    for name, each in processors.items():
        found[name] = []
        for processor in each:
            exporter = getattr(getattr(processor, "_batch_processor", processor), "_exporter", None)
            if exporter is not None:
                found[name].append(type(exporter).__name__)
    return found


def _is_otel_handler(handler: logging.Handler) -> bool:
    kind = type(handler)
    return kind.__name__ == "LoggingHandler" and kind.__module__.startswith("opentelemetry")


def _has_module(name: str) -> bool:
    """Whether there is a module called *name*; it is not run, nor are the packages that it is in."""
    folders: Any = None
    for length in range(1, len(name.split(".")) + 1):
        whole = ".".join(name.split(".")[:length])
        if whole not in sys.modules:
            specs = (finder.find_spec(whole, folders) for finder in sys.meta_path)
            spec = next((found for found in specs if found is not None), None)
            if spec is None:
                return False
            folders = spec.submodule_search_locations
        else:
            folders = getattr(sys.modules[whole], "__path__", None)
    return True


def _resource() -> dict[str, str]:
    attributes = getattr(getattr(_provider("traces"), "resource", None), "attributes", {})
    return {str(key): str(value) for key, value in attributes.items()}


def _forked_instance() -> str | None:
    """The service.instance.id that a forked worker has; None where nothing forks."""
    if not hasattr(os, "fork") or not _has_sdk():
        return None
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12: there are threads
        child = os.fork()
    if child == 0:
        os.write(writing, _resource().get("service.instance.id", "-").encode())
        os._exit(0)
    os.close(writing)
    answered, _, _ = select.select([reading], [], [], 2)
    told = os.read(reading, 1000).decode() if answered else None
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return told


def _ours() -> Iterator[Any]:
    """The instrumentations that are built on sessionspan, ours and other people's."""
    for point in metadata.entry_points(group="opentelemetry_instrumentor"):
        needs = (point.dist.requires or []) if point.dist is not None else []
        if point.value.startswith("sessionspan_") or any(re.match(r"sessionspan\b", need) for need in needs):
            yield point


def _instrumentation(point: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"name": point.name, "requires": "", "library": "", "version": None, "patches": []}
    found |= {"fits": False, "wanted": True, "instrumented": False, "broken": ""}
    try:
        instrumentor = point.load()()
        required = next(iter(instrumentor.instrumentation_dependencies()), "")
        if required:
            found["requires"] = required
            found["library"] = re.split(r"[^\w.-]", required)[0]
            found["version"] = _version(found["library"])
            found["fits"] = found["version"] is not None and _fits(required, found["version"])
        else:  # of the standard library
            found["library"] = instrumentor.patches[0].module.partition(".")[0]
            found["version"] = platform.python_version()
            found |= {"fits": True, "wanted": instrumentor.wanted()}
        found["instrumented"] = bool(instrumentor.is_instrumented_by_opentelemetry)
        if found["version"] is not None:
            patches = getattr(instrumentor, "wanted_patches", ())
            found["patches"] = [_patch(instrumentor, patch) for patch in patches]
    except Exception as error:  # noqa: BLE001 - it is told
        found["broken"] = f"{type(error).__name__}: {error}"
    return found


def _fits(required: str, version: str) -> bool:
    from packaging.requirements import Requirement

    return bool(Requirement(required).specifier.contains(version, prereleases=True))


def _patch(instrumentor: Any, patch: Any) -> dict[str, str]:
    """Import the module of *patch*, which is when it is applied, and look whether it was."""
    told = {"module": patch.module, "function": patch.function}
    try:
        owner: Any = importlib.import_module(patch.module)
    except ModuleNotFoundError as error:
        whole = error.name == patch.module.partition(".")[0]  # and not a part of one that is there
        return told | {"state": "not installed" if whole else f"cannot be imported: {error}"}
    except Exception as error:  # noqa: BLE001 - the library's own
        return told | {"state": f"cannot be imported: {type(error).__name__}: {error}"}
    *classes, name = patch.function.split(".")
    for part in classes:
        owner = getattr(owner, part, None)
    if not callable(getattr(owner, name, None)):
        return told | {"state": "missing"}
    return told | {"state": "in place" if patch in instrumentor.patched else "not applied"}


def _failures() -> int:
    from sessionspan.guard import guard

    return guard.failures


def _conflicts() -> Iterator[str]:
    """What sessionspan and the packages of OpenTelemetry require, and is not there in that version."""
    from packaging.requirements import Requirement

    for dist in metadata.distributions():
        name = dist.metadata["Name"] or ""
        if name != "sessionspan" and not name.startswith("opentelemetry-"):
            continue
        for required in map(Requirement, dist.requires or []):
            if required.marker is not None and not required.marker.evaluate({"extra": ""}):
                continue
            version = _version(required.name)
            if version is None or not required.specifier.contains(version, prereleases=True):
                there = f"{required.name} {version} is installed" if version else "it is not installed"
                yield f"{name} {dist.version} requires {required}, and {there}"


def _shadowed() -> Iterator[str]:
    """A sitecustomize on PYTHONPATH that does not run, because the launcher's stands before it."""
    running = getattr(sys.modules.get("sitecustomize"), "__file__", "") or ""
    for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        path = os.path.join(folder, "sitecustomize.py")
        if folder and os.path.exists(path) and running and not os.path.samefile(path, running):
            yield path


if __name__ == "__main__":
    answer = {"broken": "it said nothing"}
    with contextlib.suppress(BaseException):
        try:
            answer = ask()
        except BaseException as problem:
            answer = {"broken": f"{type(problem).__name__}: {problem}"}
            raise
    sys.stdout.write("\n" + MARK + json.dumps(answer) + "\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # no exporter gets the chance to wait for a backend
