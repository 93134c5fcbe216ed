"""The IMAP observer (RFC 3501, 9051, 2177, 4959, 4978, 5530, 7888)."""

from sessionspan.protocols.imap.observer import IMAPObserver

__all__ = ["IMAPObserver"]
