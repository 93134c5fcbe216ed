"""SessionInstrumentor: a table of patches, applied when the library is imported, taken back exactly.

The library is never imported by us: importing ``twisted.mail.smtp`` installs a reactor, and importing any
library costs time that the program may not want to spend. The patches wait for the import instead.
"""

from __future__ import annotations

import functools
import inspect
import logging
import platform
from collections import Counter
from collections.abc import Collection
from importlib import metadata
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import wrapt
from opentelemetry.instrumentation.dependencies import DependencyConflictError
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from sessionspan import exported_logs, forks, owners, sigterm, stamping
from sessionspan.exported_logs import LogFilter
from sessionspan.guard import guard
from sessionspan.overrides import Overrides
from sessionspan.scope import Scope
from sessionspan.settings import settings
from sessionspan.wrappers import Function, Wrapper

_log = logging.getLogger("sessionspan")
_ABSENT: Any = object()


class Patch(NamedTuple):
    """One function of a library, and the wrapper for it."""

    module: str
    function: str  # `name`, or `Class.name`
    wrapper: Wrapper
    overrides: bool = False  # also where a subclass overrides it, without `super()` maybe
    # Whether other instrumentations of the library have this very patch, too: then it is in place once, from the
    # first that wants it to the last.
    shared: bool = False


class _Applied(NamedTuple):
    """A patch in place: which, where, what is there now, what stood there itself (not inherited)."""

    patch: Patch
    owner: Any
    name: str
    wrapped: Function
    own: Any


_shared: dict[Patch, _Applied] = {}
_sharing: Counter[Patch] = Counter()


class SessionInstrumentor(BaseInstrumentor):  # type: ignore[misc] # untyped upstream
    """What every instrumentation is: a scope, a range of versions, a table of patches.

    The module of the table's first patch is required: when a function of it is missing, nothing is patched
    and one line says so. Any other module is patched as a whole or skipped as a whole.
    """

    scope: ClassVar[Scope]
    instruments: ClassVar[str]  # a requirement, as "aiosmtpd >= 1.4.4, < 2"; empty for the standard library
    patches: ClassVar[tuple[Patch, ...]]
    # Lines of the library's own log that never leave by OTel's logging handler.
    log_filter: ClassVar[LogFilter | tuple[LogFilter, ...]] = ()

    _begun = False
    _generation = 0  # of `instrument` calls: a hook that still waits from an earlier one does nothing

    def instrumentation_dependencies(self) -> Collection[str]:
        """The library and the versions of it that are supported."""
        return (self.instruments,) if self.instruments else ()

    def wanted(self) -> bool:
        """Whether the settings ask for this instrumentation; when not, nothing is patched."""
        return True

    @property
    def wanted_patches(self) -> tuple[Patch, ...]:
        """The patches to apply now; settings may ask for more than `patches`."""
        return self.patches

    @property
    def patched(self) -> list[Patch]:
        """The patches that are in place now: those of libraries that were imported and have what we look for."""
        return [applied.patch for applied in vars(self).get("_applied", ())]

    def _instrument(self, **kwargs: Any) -> None:
        # The launcher skips this check for each instrumentor and makes one per distribution.
        conflict = self._check_dependency_conflicts()
        if conflict:
            raise DependencyConflictError(conflict)
        self._begin(**kwargs)

    def _log_filters(self) -> tuple[LogFilter, ...]:
        return (self.log_filter,) if isinstance(self.log_filter, LogFilter) else self.log_filter

    @guard
    def _begin(
        self,
        tracer_provider: Any = None,
        logger_provider: Any = None,
        meter_provider: Any = None,
        **ignored: Any,
    ) -> None:
        settings()
        if not self.wanted():
            return
        self._begun = True
        self._applied: list[_Applied] = []
        self._overrides: list[Overrides] = []
        self._generation += 1
        self.scope.bind(tracer_provider, logger_provider, meter_provider)
        sigterm.install()
        forks.install()
        stamping.install()
        exported_logs.install()
        for log_filter in self._log_filters():
            exported_logs.add(log_filter)
        generation = self._generation
        for module in dict.fromkeys(patch.module for patch in self.wanted_patches):
            wrapt.register_post_import_hook(lambda found: self._imported(found, generation), module)

    def _uninstrument(self, **kwargs: Any) -> None:
        self._end()

    @guard
    def _end(self) -> None:
        if not self._begun:
            return
        self._begun = False
        self._generation += 1
        self.scope.unbind()
        stamping.uninstall()
        for log_filter in self._log_filters():
            exported_logs.remove(log_filter)
        while self._overrides:
            self._overrides.pop().restore()
        while self._applied:
            applied = self._applied.pop()
            _release(applied)
            owners.remove(applied.owner, self.scope.name)

    @guard  # the hook runs inside the application's import statement
    def _imported(self, module: ModuleType, generation: int) -> None:
        if generation != self._generation:
            return
        patches = [patch for patch in self.wanted_patches if patch.module == module.__name__]
        missing = [patch.function for patch in patches if _find(module, patch.function) is None]
        if missing:
            self._skip(module.__name__, missing)
            return
        for patch in patches:
            applied = _share(module, patch) if patch.shared else _apply(module, patch)
            self._applied.append(applied)
            owners.add(applied.owner, self.scope.name)
        self._overrides += _overrides(module, patches)

    def _skip(self, module: str, missing: list[str]) -> None:
        required = module == self.patches[0].module
        library = self.instruments.split()[0] if self.instruments else "Python"
        _log.error(
            "%s: %s %s has no %s in %s; %s.",
            self.scope.name,
            library,
            _version(library),
            ", ".join(missing),
            module,
            "its sessions are not recorded" if required else "this module is not patched",
        )
        if required:
            self.scope.unbind()


def _find(module: ModuleType, function: str) -> tuple[Any, str] | None:
    """The owner of *function* and its name there, or None when the library has no such function."""
    owner: Any = module
    *classes, name = function.split(".")
    for part in classes:
        owner = getattr(owner, part, None)
    return (owner, name) if owner is not None and callable(getattr(owner, name, None)) else None


def _apply(module: ModuleType, patch: Patch) -> _Applied:
    found = _find(module, patch.function)
    assert found is not None
    owner, name = found
    own = vars(owner).get(name, _ABSENT)
    wrapped = patch.wrapper(getattr(owner, name) if own is not _ABSENT else _inherited(owner, name))
    setattr(owner, name, wrapped)
    return _Applied(patch, owner, name, wrapped, own)


def _inherited(owner: Any, name: str) -> Function:
    """What *owner* inherits as *name*, looked up for each call: a subclass may put another class in between."""
    found = getattr(owner, name)

    @functools.wraps(found)
    def inherited(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(super(owner, self), name)(*args, **kwargs)

    @functools.wraps(found)
    async def async_inherited(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await getattr(super(owner, self), name)(*args, **kwargs)

    return async_inherited if inspect.iscoroutinefunction(found) else inherited


def _share(module: ModuleType, patch: Patch) -> _Applied:
    if not _sharing[patch]:
        _shared[patch] = _apply(module, patch)
    _sharing[patch] += 1
    return _shared[patch]


def _release(applied: _Applied) -> None:
    patch = applied.patch
    if patch.shared:
        _sharing[patch] -= 1
        if _sharing[patch]:
            return
        del _shared[patch]
    _restore(applied)


def _overrides(module: ModuleType, patches: list[Patch]) -> list[Overrides]:
    """What is to be patched below the classes of *module*, applied."""
    by_class: dict[type, dict[str, Wrapper]] = {}
    for patch in patches:
        found = _find(module, patch.function)
        if patch.overrides and found is not None:
            by_class.setdefault(found[0], {})[found[1]] = patch.wrapper
    made = [Overrides(base, wrappers) for base, wrappers in by_class.items()]
    for each in made:
        each.apply()
    return made


def _restore(applied: _Applied) -> None:
    # Somebody who wrapped it after us keeps their wrapper; ours passes everything through by then,
    # because its scope opens no more sessions.
    if vars(applied.owner).get(applied.name) is not applied.wrapped:
        return
    if applied.own is _ABSENT:
        delattr(applied.owner, applied.name)
    else:
        setattr(applied.owner, applied.name, applied.own)


def _version(library: str) -> str:
    if library == "Python":
        return platform.python_version()
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "of unknown version"
