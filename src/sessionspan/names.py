"""The attribute keys of a session: on its span, and as the identity on every event.

Keys that OpenTelemetry's semantic conventions define keep their names; ours start with ``sessionspan.``;
the four plain names are what users of the seed systems search for. The keys of an event's own facts
stand beside its fields, in `sessionspan.events`.
"""

from __future__ import annotations

from typing import Final

SCHEMA_URL: Final = "https://sessionspan.dev/schemas/0.1.0"

SESSION_ID: Final = "sessionspan.session.id"
SIDE: Final = "sessionspan.side"
PROTOCOL_NAME: Final = "network.protocol.name"
TRANSPORT: Final = "network.transport"
CLIENT_ADDRESS: Final = "client.address"
CLIENT_PORT: Final = "client.port"
PEER_ADDRESS: Final = "network.peer.address"
PEER_PORT: Final = "network.peer.port"
LOCAL_ADDRESS: Final = "network.local.address"
LOCAL_PORT: Final = "network.local.port"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
USER_NAME: Final = "user.name"
USER_HASH: Final = "user.hash"
CLIENT_HASH: Final = "sessionspan.client.hash"
AUTH_SEQUENCE: Final = "sessionspan.auth.sequence"
DEVICE_TYPE: Final = "sessionspan.device.type"
OPERATION_ID: Final = "sessionspan.operation.id"
OPERATION_NAME: Final = "sessionspan.operation.name"
OPERATION_DEVICE_ID: Final = "sessionspan.operation.device.id"
OPERATION_USER_ID: Final = "sessionspan.operation.user.id"
PEER_HOSTNAME: Final = "sessionspan.peer.hostname"
PROXY_PROTOCOL: Final = "sessionspan.proxy.protocol"
PROXY_ADDRESS: Final = "sessionspan.proxy.address"
TLS_MODE: Final = "sessionspan.tls.mode"
OUTCOME: Final = "sessionspan.outcome"
END_REASON: Final = "sessionspan.end_reason"
ERROR_TYPE: Final = "error.type"
DURATION: Final = "sessionspan.session.duration"

COMMAND_COUNT: Final = "sessionspan.command.count"
COMMAND_FAILED_COUNT: Final = "sessionspan.command.failed.count"
AUTH_ATTEMPT_COUNT: Final = "sessionspan.auth.attempt.count"
AUTH_USER_COUNT: Final = "sessionspan.auth.user.count"
RECEIVED_SIZE: Final = "sessionspan.received.size"
SENT_SIZE: Final = "sessionspan.sent.size"
MAIL_ACCEPTED_COUNT: Final = "sessionspan.mail.accepted.count"
MAIL_REJECTED_COUNT: Final = "sessionspan.mail.rejected.count"
EVENT_COUNT: Final = "sessionspan.event.count"
EVENT_DROPPED_COUNT: Final = "sessionspan.event.dropped.count"
EVENT_UNSPANNED_COUNT: Final = "sessionspan.event.unspanned.count"

# The plain twins: on the span and on stamped application records only, never on our own events.
PLAIN_SESSION_ID: Final = "session_id"
PLAIN_CLIENT_IP: Final = "client_ip"
PLAIN_PROTOCOL: Final = "protocol"
PLAIN_USERNAME: Final = "username"
PLAIN_TWINS: Final = frozenset((PLAIN_SESSION_ID, PLAIN_CLIENT_IP, PLAIN_PROTOCOL, PLAIN_USERNAME))
