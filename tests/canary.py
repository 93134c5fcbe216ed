"""Marked credentials, and a search for them in whatever left: the product's own, which `doctor --canary` uses."""

from __future__ import annotations

from sessionspan.canary import encodings, found_in

__all__ = ["encodings", "found_in"]
