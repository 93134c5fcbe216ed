"""The variants that are measured against each other: what is installed in the server of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Variant:
    """One way to run the same server."""

    name: str
    means: str
    instrumentation: str | None = None  # sessionspan, straightforward
    sdk: bool = False  # SDK providers, stock batch processors, stock OTLP/HTTP exporters
    events: str = "logs"  # SESSIONSPAN_EVENTS: logs, span, both

    @property
    def logs(self) -> bool:
        """Whether its events go out as log records."""
        return self.events != "span"

    @property
    def on_span(self) -> bool:
        """Whether its events go onto the span."""
        return self.events != "logs"


VARIANTS: Final = {
    variant.name: variant
    for variant in (
        Variant("bare", "the server alone"),
        Variant("no-sdk", "sessionspan instruments, no SDK is set up", "sessionspan"),
        Variant("logs", "all telemetry, events as log records", "sessionspan", True, "logs"),
        Variant("span", "all telemetry, events on the span", "sessionspan", True, "span"),
        Variant("both", "all telemetry, events as both (the default)", "sessionspan", True, "both"),
        Variant("straightforward-no-sdk", "the same records by wrapt and the API, no SDK", "straightforward"),
        Variant("straightforward-logs", "the same records by wrapt and the SDK", "straightforward", True, "logs"),
        Variant("straightforward-span", "the same on the span", "straightforward", True, "span"),
        Variant("straightforward-both", "the same as both", "straightforward", True, "both"),
    )
}


def peer_of(variant: Variant) -> str | None:
    """The straightforward variant that says the same as *variant*, if there is one."""
    if variant.instrumentation != "sessionspan":
        return None
    return f"straightforward-{variant.events if variant.sdk else 'no-sdk'}"


def variants_of(protocol: str) -> list[str]:
    """The names of the variants that are measured for *protocol*: only SMTP has a straightforward peer."""
    return [
        name for name, each in VARIANTS.items() if protocol == "smtp" or not name.startswith("straightforward")
    ]
