"""Exporters of the SDK for use without a backend, each chosen by name in ``OTEL_LOGS_EXPORTER``."""
