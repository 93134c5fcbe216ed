"""The ManageSieve observer (RFC 5804)."""

from sessionspan.protocols.managesieve.observer import ManageSieveObserver

__all__ = ["ManageSieveObserver"]
