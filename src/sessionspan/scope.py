"""The instrumentation scope of one instrumentation: its name on the wire, its tracer, logger and meter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry._logs import get_logger

from sessionspan.metrics import Metrics
from sessionspan.names import SCHEMA_URL
from sessionspan.version import __version__

if TYPE_CHECKING:
    from opentelemetry._logs import Logger, LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider


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

    @property
    def bound(self) -> bool:
        """Whether sessions may be opened: between `bind` and `unbind`."""
        return self.tracer is not None

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
