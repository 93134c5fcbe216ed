"""The distro and the configurator named ``sessionspan``: defaults, and only defaults.

Everything else works on whatever provider exists, so the instrumentations do under any distro.
"""

from __future__ import annotations

import os
from typing import Any, Final

from opentelemetry.environment_variables import (
    OTEL_LOGS_EXPORTER,
    OTEL_METRICS_EXPORTER,
    OTEL_TRACES_EXPORTER,
)
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined] # untyped upstream
from opentelemetry.sdk._configuration import _OTelSDKConfigurator
from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_OTLP_PROTOCOL

from sessionspan.settings import settings

DEFAULTS: Final = {
    OTEL_TRACES_EXPORTER: "otlp",
    OTEL_LOGS_EXPORTER: "otlp",
    OTEL_METRICS_EXPORTER: "otlp",
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
}

# What a backend cannot take; its own defaults go before the general ones.
BACKENDS: Final[dict[str, dict[str, str]]] = {
    "": {},
    # Jaeger has no logs and no metrics: its OTLP receiver refuses both, once per batch.
    "jaeger": {OTEL_LOGS_EXPORTER: "none", OTEL_METRICS_EXPORTER: "none"},
}


class SessionspanConfigurator(_OTelSDKConfigurator):
    """Sets up the SDK from ``OTEL_*``, as OpenTelemetry's own does."""


class SessionspanDistro(BaseDistro):  # type: ignore[misc]
    """Sets what the user has not set."""

    def _configure(self, **kwargs: Any) -> None:
        for name, value in (DEFAULTS | BACKENDS[settings().backend]).items():
            if not os.environ.get(name):  # OTel: an empty value means not set
                os.environ[name] = value
