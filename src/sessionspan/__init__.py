"""sessionspan: one OpenTelemetry span per mail or device session, each step an event."""

from sessionspan.levels import capture
from sessionspan.manual import session
from sessionspan.operation import operation
from sessionspan.servers import handler_session, stream_session
from sessionspan.session import Session, current_session
from sessionspan.version import __version__ as __version__

__all__ = ["Session", "capture", "current_session", "handler_session", "operation", "session", "stream_session"]
