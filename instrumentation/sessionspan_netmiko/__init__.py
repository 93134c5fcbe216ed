"""One span per session with a network device, over SSH, Telnet or a serial line, by netmiko.

Methods of ``BaseConnection``, and of all that override them, never ``ConnectHandler``: people import it by name.

``_open``, ``establish_connection``, ``_try_session_preparation``   the session begins, is ready, or never is.
``disconnect``, ``__exit__``                the end.
``read_channel``, ``write_channel``         all that is said passes here; overridden by no class of netmiko.
``send_command``, ``send_command_timing``, ``config_mode``, ``exit_config_mode``, ``exit_enable_mode``  commands.
``send_config_set``, ``commit``, ``save_config``, ``enable``   the configuration.
``find_prompt``                             how long it takes, and what the prompt is.

``SSHDetect._send_command`` probes by itself; ``BaseFileTransfer`` and ``SCPConn`` copy files over a connection of
their own, which is part of the session.
"""

from __future__ import annotations

from typing import Any, Final

from sessionspan.addresses import Address, ends_of
from sessionspan.devices.conversation import Conversation
from sessionspan.devices.steps import (
    COMMAND,
    COMMIT,
    CONFIG,
    ENABLE,
    MODE,
    PROBE,
    PROMPT,
    SAVE,
    TRANSFER,
    Kind,
    Step,
)
from sessionspan.devices.wire_log import WIRE_LOGS
from sessionspan.instrumentor import Patch, SessionInstrumentor
from sessionspan.opening import open_session
from sessionspan.scope import Scope
from sessionspan.session import Side
from sessionspan.wrappers import Wrapper, after, around, before, inside

_scope: Final = Scope("sessionspan_netmiko")

_CREDENTIALS: Final = ("password", "secret", "passphrase")


def _of(connection: Any) -> Conversation | None:
    """The conversation of *connection*, while its session lasts."""
    found = vars(connection).get("_sessionspan")
    return found if isinstance(found, Conversation) and not found.session.ended else None


# The session begins.


def _opens(connection: Any, *args: Any, **kwargs: Any) -> Conversation | None:
    """`_open`, or `establish_connection` by itself: a connection that is open already is given up."""
    old = _of(connection)
    if old is not None:
        old.session.end("reconnected")
    return _begin(connection)


def _begin(connection: Any) -> Conversation | None:
    protocol = connection.protocol.upper()
    server = Address(connection.host, connection.port)
    if protocol == "SERIAL":
        server = Address(connection.serial_settings.get("port"))  # its host is "serial", and its port 22
    session = open_session(_scope, protocol, side=Side.CLIENT, server=server, device=connection.device_type)
    if session is None:
        return None
    session.start()
    if not session.listened_to:
        session.end()
        return None
    secrets = tuple(getattr(connection, name, None) for name in _CREDENTIALS)
    connection._sessionspan = Conversation(session, "netmiko", connection.username, secrets)
    return _part(connection)


def _part(connection: Any, *args: Any, **kwargs: Any) -> Conversation | None:
    """A part of opening it: of what netmiko sends for that nothing is a command."""
    conversation = _of(connection)
    if conversation is not None:
        conversation.opens()
    return conversation


def _opened(conversation: Conversation, result: Any, raised: BaseException | None, connection: Any) -> None:
    conversation.opened(raised)


def _establishes(connection: Any, *args: Any, **kwargs: Any) -> Conversation | None:
    conversation = _of(connection)
    opening = conversation is not None and conversation.opening
    return _part(connection) if opening else _opens(connection)


def _established(
    conversation: Conversation,
    result: Any,
    raised: BaseException | None,
    connection: Any,
    *args: Any,
    **kwargs: Any,
) -> None:
    if raised is None:
        remote = connection.remote_conn
        if connection.protocol == "ssh":
            transport = getattr(remote, "transport", None)
            peer, local = ends_of(getattr(transport, "sock", None))
            method = getattr(getattr(transport, "auth_handler", None), "auth_method", "")
        else:
            # A serial line has no socket, and a mock of a test none that could say anything.
            peer, local = ends_of(getattr(remote, "sock", None))
            method = ""
        conversation.connected(peer, local, method)
    conversation.opened(raised)


def _prepares(connection: Any, *args: Any, **kwargs: Any) -> Conversation | None:
    """The session is prepared: as a part of opening it, or by `redispatch`, for a device of another type."""
    conversation = _part(connection)
    if conversation is not None:
        conversation.is_a(connection.device_type)
    return conversation


def _prepared(
    conversation: Conversation, result: Any, raised: BaseException | None, *args: Any, **kwargs: Any
) -> None:
    conversation.opened(raised, ready=False)


# It ends.


def _closes(connection: Any, *args: Any, **kwargs: Any) -> Conversation | None:
    conversation = _of(connection)
    if conversation is not None:
        conversation.closes()
    return conversation


def _closed(
    conversation: Conversation, result: Any, raised: BaseException | None, *args: Any, **kwargs: Any
) -> None:
    conversation.closed()


def _leaves(connection: Any, kind: Any = None, error: BaseException | None = None, *args: Any) -> None:
    conversation = _of(connection)
    if conversation is not None and error is not None:
        conversation.left(error)


# What is said.


def _reads(connection: Any) -> tuple[Conversation, int] | None:
    conversation = _of(connection)
    # netmiko gives again what it read too much of.
    return None if conversation is None else (conversation, len(connection._read_buffer))


def _read(begun: tuple[Conversation, int], result: Any, raised: BaseException | None, connection: Any) -> None:
    conversation, again = begun
    text = result[again:] if raised is None else ""
    conversation.received(text, alive=bool(text) or (raised is None and _is_alive(connection)))


def _wrote(result: Any, connection: Any, out_data: str) -> None:
    conversation = _of(connection)
    if conversation is not None:
        conversation.prompt = connection.base_prompt
        conversation.sent(out_data)


def _is_alive(connection: Any) -> bool:
    """Whether something can still come. netmiko's own `is_alive` would write."""
    remote = connection.remote_conn
    return not (getattr(remote, "closed", False) is True or getattr(remote, "eof", False) is True)


# What is done.


def _begins(connection: Any, kind: Kind, **detail: Any) -> Step | None:
    conversation = _of(connection)
    if conversation is None:
        return None
    conversation.prompt = connection.base_prompt
    conversation.is_a(connection.device_type)  # `redispatch(session_prep=False)` only sets it
    return conversation.begin(kind, **detail)


def _ends(step: Step, raised: BaseException | None, connection: Any) -> None:
    step.conversation.end(step, raised, alive=raised is None or _is_alive(connection))


def _step(kind: Kind) -> Wrapper:
    """A method of a connection that is a step of this kind."""

    def begins(connection: Any, *args: Any, **kwargs: Any) -> Step | None:
        return _begins(connection, kind)

    def ends(
        step: Step, result: Any, raised: BaseException | None, connection: Any, *args: Any, **kw: Any
    ) -> None:
        _ends(step, raised, connection)

    return inside(begins, ends)


def _finds_prompt(connection: Any, *args: Any, **kwargs: Any) -> Any:
    conversation = _of(connection)
    return None if conversation is None else (conversation, conversation.begin(PROMPT))


def _found_prompt(
    begun: tuple[Conversation, Step | None],
    result: Any,
    raised: BaseException | None,
    connection: Any,
    *args: Any,
    **kwargs: Any,
) -> None:
    conversation, step = begun
    if step is not None:
        _ends(step, raised, connection)
    if isinstance(result, str):
        conversation.found_prompt(result)


def _probes(detect: Any, *args: Any, **kwargs: Any) -> Step | None:
    return _begins(detect.connection, PROBE)


def _probed(step: Step, result: Any, raised: BaseException | None, detect: Any, *args: Any, **kwargs: Any) -> None:
    _ends(step, raised, detect.connection)


# Files.


def _transfers(transfer: Any) -> Step | None:
    return _begins(
        transfer.ssh_ctl_chan,
        TRANSFER,
        direction=transfer.direction,
        source=transfer.source_file,
        destination=transfer.dest_file,
        size=transfer.file_size,
    )


def _copies(direction: str) -> Wrapper:
    """A method of `SCPConn`, which people use by itself, too."""

    def begins(scp: Any, source_file: str, dest_file: str) -> Step | None:
        return _begins(
            scp.ssh_ctl_chan, TRANSFER, direction=direction, source=str(source_file), destination=str(dest_file)
        )

    return inside(begins, _transferred)


def _transferred(
    step: Step, result: Any, raised: BaseException | None, transfer: Any, *args: Any, **kwargs: Any
) -> None:
    _ends(step, raised, transfer.ssh_ctl_chan)


_BASE: Final = "netmiko.base_connection"
_STEPS: Final = {
    "send_command": COMMAND,
    "send_command_timing": COMMAND,
    "config_mode": MODE,
    "exit_config_mode": MODE,
    "exit_enable_mode": MODE,
    "send_config_set": CONFIG,
    "commit": COMMIT,
    "save_config": SAVE,
    "enable": ENABLE,
}


class NetmikoInstrumentor(SessionInstrumentor):
    """Instruments netmiko: sessions with network devices."""

    scope = _scope
    instruments = "netmiko >= 4.0.0, < 5"
    log_filter = WIRE_LOGS
    patches = (
        Patch(_BASE, "BaseConnection._open", inside(_opens, _opened)),
        Patch(_BASE, "BaseConnection.establish_connection", inside(_establishes, _established)),
        Patch(_BASE, "BaseConnection._try_session_preparation", inside(_prepares, _prepared)),
        Patch(_BASE, "BaseConnection.disconnect", inside(_closes, _closed)),
        Patch(_BASE, "BaseConnection.__exit__", before(_leaves)),
        Patch(_BASE, "BaseConnection.read_channel", around(_reads, _read)),
        Patch(_BASE, "BaseConnection.write_channel", after(_wrote)),
        Patch(_BASE, "BaseConnection.find_prompt", around(_finds_prompt, _found_prompt), overrides=True),
        *(Patch(_BASE, f"BaseConnection.{name}", _step(kind), overrides=True) for name, kind in _STEPS.items()),
        Patch("netmiko.ssh_autodetect", "SSHDetect._send_command", inside(_probes, _probed)),
        Patch(
            "netmiko.scp_handler", "BaseFileTransfer.put_file", inside(_transfers, _transferred), overrides=True
        ),
        Patch(
            "netmiko.scp_handler", "BaseFileTransfer.get_file", inside(_transfers, _transferred), overrides=True
        ),
        Patch("netmiko.scp_handler", "SCPConn.scp_put_file", _copies("put")),
        Patch("netmiko.scp_handler", "SCPConn.scp_transfer_file", _copies("put")),
        Patch("netmiko.scp_handler", "SCPConn.scp_get_file", _copies("get")),
    )
