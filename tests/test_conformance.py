"""What every instrumentation promises; a new one gets these tests by having an entry point."""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import pytest
from opentelemetry.instrumentation.dependencies import DependencyConflictError
from packaging.requirements import Requirement

from sessionspan import settings
from sessionspan.instrumentor import Patch, SessionInstrumentor
from sessionspan.testing import Recorder


def is_for_this_python(name: str) -> bool:
    """Whether the extra of the instrumentation *name* asks for its library on this Python at all."""
    extra = name.removeprefix("sessionspan_")
    markers = [Requirement(text).marker for text in metadata.requires("sessionspan") or ()]
    of_extra = [marker for marker in markers if marker is not None and f'extra == "{extra}"' in str(marker)]
    return not of_extra or any(marker.evaluate({"extra": extra}) for marker in of_extra)


ENTRY_POINTS = {
    point.name: point
    for point in metadata.entry_points(group="opentelemetry_instrumentor")
    if point.name.startswith("sessionspan_") and is_for_this_python(point.name)
}


# Those of libraries; the others are of the standard library, and do nothing while no port is listed.
OF_LIBRARIES = [name for name in sorted(ENTRY_POINTS) if ENTRY_POINTS[name].load().instruments]
PORTS = {"SESSIONSPAN_PORTS": "1110:pop3"}


@pytest.fixture(autouse=True)
def listed_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(*next(iter(PORTS.items())))
    settings.reload()


@pytest.fixture(params=sorted(ENTRY_POINTS))
def instrumentor(request: pytest.FixtureRequest) -> Iterator[SessionInstrumentor]:
    found = ENTRY_POINTS[request.param].load()()
    assert isinstance(found, SessionInstrumentor)
    yield found
    if found.is_instrumented_by_opentelemetry:
        found.uninstrument()


def seams(instrumentor: SessionInstrumentor) -> dict[tuple[str, str], Any]:
    """What stands at each patched place now, in the very namespace that holds it."""
    found = {}
    for patch in instrumentor.patches:
        owner: Any = importlib.import_module(patch.module)
        *classes, name = patch.function.split(".")
        for part in classes:
            owner = getattr(owner, part)
        found[patch.module, patch.function] = vars(owner).get(name, "inherited")
    return found


def found(module: str, function: str) -> Any:
    """What is called as *function*, be it inherited."""
    return functools.reduce(getattr, function.split("."), importlib.import_module(module))


def instrument(instrumentor: SessionInstrumentor, recorder: Recorder) -> None:
    instrumentor.instrument(
        tracer_provider=recorder.tracer_provider,
        logger_provider=recorder.logger_provider,
        meter_provider=recorder.meter_provider,
    )


def test_the_folder_the_entry_point_and_the_scope_have_one_name(instrumentor: SessionInstrumentor) -> None:
    module = type(instrumentor).__module__
    assert ENTRY_POINTS[instrumentor.scope.name].value.startswith(module + ":")
    assert instrumentor.scope.name.startswith(module)


def test_instrument_patches_every_seam(instrumentor: SessionInstrumentor, recorder: Recorder) -> None:
    before = seams(instrumentor)
    instrument(instrumentor, recorder)
    after = seams(instrumentor)
    assert [key for key in before if before[key] is after[key]] == []


def test_uninstrument_restores_the_library(instrumentor: SessionInstrumentor, recorder: Recorder) -> None:
    before = seams(instrumentor)
    for _ in range(3):
        instrument(instrumentor, recorder)
        instrumentor.uninstrument()
    after = seams(instrumentor)
    assert all(before[key] is after[key] for key in before)
    assert not instrumentor.scope.bound


def test_a_wrapper_that_somebody_put_over_ours_stays(
    instrumentor: SessionInstrumentor, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument(instrumentor, recorder)
    patch = instrumentor.patches[0]
    owner: Any = importlib.import_module(patch.module)
    *classes, name = patch.function.split(".")
    for part in classes:
        owner = getattr(owner, part)
    original = vars(owner)[name].__wrapped__  # the first patch of a table is of a function that the class defines
    theirs = lambda *args, **kwargs: None  # noqa: E731
    setattr(owner, name, theirs)
    try:
        instrumentor.uninstrument()
        assert vars(owner)[name] is theirs
    finally:
        setattr(owner, name, original)


def signature(function: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except ValueError:
        return None  # compiled, and it does not tell


def test_patched_functions_look_like_the_librarys_own(
    instrumentor: SessionInstrumentor, recorder: Recorder
) -> None:
    before = {key: found(*key) for key in seams(instrumentor)}
    instrument(instrumentor, recorder)
    for key, function in seams(instrumentor).items():
        assert function.__name__ == before[key].__name__
        assert function.__doc__ == before[key].__doc__
        assert signature(function) == signature(before[key])
        assert inspect.iscoroutinefunction(function) == inspect.iscoroutinefunction(before[key])


def test_a_missing_seam_leaves_the_library_alone(
    instrumentor: SessionInstrumentor,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = seams(instrumentor)
    first = instrumentor.patches[0]
    renamed = Patch(first.module, "gone_since_the_next_version", first.wrapper)
    monkeypatch.setattr(type(instrumentor), "patches", (*instrumentor.patches, renamed))
    instrument(instrumentor, recorder)
    monkeypatch.undo()
    required = [key for key in before if key[0] == first.module]
    after = seams(instrumentor)
    assert all(before[key] is after[key] for key in required)
    assert not instrumentor.scope.bound
    (line,) = [record for record in caplog.records if "gone_since" in record.getMessage()]
    assert line.levelno == logging.ERROR
    assert "its sessions are not recorded" in line.getMessage()


def test_a_missing_seam_of_another_module_skips_that_module_only(
    instrumentor: SessionInstrumentor,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = seams(instrumentor)
    first = instrumentor.patches[0]
    monkeypatch.setattr(
        type(instrumentor), "patches", (*instrumentor.patches, Patch("json", "gone", first.wrapper))
    )
    instrument(instrumentor, recorder)
    monkeypatch.undo()
    after = seams(instrumentor)
    assert [key for key in before if before[key] is after[key]] == []
    assert instrumentor.scope.bound
    assert "this module is not patched" in caplog.text


@pytest.mark.parametrize("instrumentor", OF_LIBRARIES, indirect=True)
def test_another_version_of_the_library_is_refused_with_both_versions(
    instrumentor: SessionInstrumentor, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = instrumentor.instruments.split()[0]
    found = metadata.version(library)
    monkeypatch.setattr(type(instrumentor), "instruments", f"{library} >= 9999")
    before = seams(instrumentor)
    # As the launcher calls it: having checked nothing for this library.
    with pytest.raises(DependencyConflictError) as refused:
        instrumentor.instrument(skip_dep_check=True)
    assert f"{library} >= 9999" in str(refused.value.conflict)
    assert found in str(refused.value.conflict)
    assert seams(instrumentor) == before
    assert not instrumentor.scope.bound


def test_the_supported_range_admits_the_installed_version(instrumentor: SessionInstrumentor) -> None:
    assert instrumentor._check_dependency_conflicts() is None


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"SESSIONSPAN_RAISE": "on"} | PORTS,
    )
    return done.stdout.strip()


def test_the_library_is_not_imported_by_instrumenting_it(instrumentor: SessionInstrumentor) -> None:
    module, name = type(instrumentor).__module__, type(instrumentor).__name__
    libraries = {patch.module.partition(".")[0] for patch in instrumentor.patches}
    libraries -= {"asyncio", "ssl"}  # OpenTelemetry's API and its exporters import these
    assert (
        run(
            f"import sys; from {module} import {name}; {name}().instrument(skip_dep_check=True);"
            f"print([m for m in sys.modules if m.partition('.')[0] in {libraries!r}])"
        )
        == "[]"
    )


def test_a_hook_that_still_waits_after_uninstrument_does_nothing(instrumentor: SessionInstrumentor) -> None:
    module, name = type(instrumentor).__module__, type(instrumentor).__name__
    patch = instrumentor.patches[0]
    code = (
        f"from {module} import {name}; i = {name}(); i.instrument(); i.uninstrument();"
        f"import {patch.module} as m; print(hasattr(m.{patch.function}, '__wrapped__'), i.scope.bound)"
    )
    assert run(code) == "False False"


def test_instrumenting_again_patches_a_library_that_was_imported_in_between(
    instrumentor: SessionInstrumentor,
) -> None:
    module, name = type(instrumentor).__module__, type(instrumentor).__name__
    patch = instrumentor.patches[0]
    code = (
        f"from {module} import {name}; i = {name}(); i.instrument(); i.uninstrument(); i.instrument();"
        f"import {patch.module} as m; f = m.{patch.function};"
        "print(hasattr(f, '__wrapped__'), hasattr(f.__wrapped__, '__wrapped__'))"
    )
    assert run(code) == "True False"
