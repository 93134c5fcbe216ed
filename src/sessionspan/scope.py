"""The instrumentation scope of one instrumentation: its name on the wire, its tracer, logger and meter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry._logs import NoOpLogger, get_logger
from opentelemetry.trace import NoOpTracer

from sessionspan.emitting import Emitter, emitter_of
from sessionspan.metrics import Metrics
from sessionspan.names import SCHEMA_URL
from sessionspan.settings import settings
from sessionspan.version import __version__

if TYPE_CHECKING:
    from opentelemetry._logs import Logger, LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider


def is_enabled(logger: Logger | None) -> bool:
    """Whether anybody takes what *logger* emits."""
    logger = getattr(logger, "_logger", logger)  # behind the API's proxy
    if logger is None or isinstance(logger, NoOpLogger):
        return False
    enabled = getattr(logger, "enabled", None)
    return enabled is None or bool(enabled())  # the API before 1.45 cannot be asked


class Scope:
    """Where the sessions of one instrumentation get their tracer, logger and meter.

    Bound once, at instrument time: they are the API's proxies while no provider is set, and
    find the provider that the application sets up later by themselves.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.tracer: Tracer | None = None
        self.logger: Logger | None = None
        self.metrics: Metrics | None = None
        self._emitter: tuple[Logger, Emitter] | None = None

    @property
    def bound(self) -> bool:
        """Whether sessions may be opened: between `bind` and `unbind`."""
        return self.tracer is not None

    @property
    def silent(self) -> bool:
        """Whether nobody takes what a session says: no SDK is set up, or it is disabled, and no activity log."""
        # Behind the API's proxy stands a no-op tracer, until a provider is set up.
        tracer = getattr(self.tracer, "_tracer", self.tracer)
        return (
            (tracer is None or isinstance(tracer, NoOpTracer))
            and not is_enabled(self.logger)
            and (self.metrics is None or not self.metrics.enabled)
            and not settings().log_activity
        )

    def emitter(self) -> Emitter | None:
        """How an event gets to the logger; None when nobody takes it."""
        logger: Logger | None = getattr(self.logger, "_logger", self.logger)  # behind the API's proxy
        if logger is None or not is_enabled(logger):
            return None
        if self._emitter is None or self._emitter[0] is not logger:
            self._emitter = (logger, emitter_of(logger))
        return self._emitter[1]

    def bind(
        self,
        tracer_provider: TracerProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        """Take tracer, logger and meter from these providers, or from the global ones."""
        self.metrics = Metrics(self.name, meter_provider, SCHEMA_URL)
        self.logger = get_logger(self.name, __version__, logger_provider=logger_provider, schema_url=SCHEMA_URL)
        self.tracer = trace.get_tracer(self.name, __version__, tracer_provider, schema_url=SCHEMA_URL)

    def unbind(self) -> None:
        """Let no new session open; those that are open end as usual."""
        self.tracer = self.logger = self.metrics = None
