"""The SMTP and LMTP observer (RFC 5321, 2033, 3030, 3207, 4954)."""

from sessionspan.protocols.smtp.observer import SMTPObserver

__all__ = ["SMTPObserver"]
