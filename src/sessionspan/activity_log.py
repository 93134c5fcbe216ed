"""A site's own log of activities: `SESSIONSPAN_LOG_ACTIVITY` names a function that is called for each.

It is called as PMDF's popstore calls its ``log_activity``: one call at a time. A thread does it, so that a slow
function delays no session; what waits is bounded. It gets what a log event may hold and no more.
"""

from __future__ import annotations

import importlib
import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from sessionspan import names
from sessionspan.activities import ACTIVITIES, selected
from sessionspan.events import Event, Value
from sessionspan.facts import Facts
from sessionspan.guard import place_of
from sessionspan.process_run import log_id
from sessionspan.projection import names_in
from sessionspan.redaction import View, hashed_key
from sessionspan.settings import Settings, settings

LIMIT: Final = 10_000  # activities that wait for the function
PATIENCE: Final = 1.0  # seconds that the process's end waits for it

_log = logging.getLogger("sessionspan")

Data: TypeAlias = dict[str, Any]
Function: TypeAlias = Callable[[str, Data], object]

# Where the fields of PMDF's structures come from: the first attribute that is there.
_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "username": ("sessionspan.store.user.name", "sessionspan.auth.user.name", names.USER_NAME),
    "profile": ("sessionspan.store.user.profile",),
    "stat": (names.ERROR_TYPE,),
    "user": (names.USER_NAME,),
    "uidl": ("sessionspan.mail.message.uid",),
    "msg_id": ("sessionspan.mail.message.id",),
    "size": ("sessionspan.mail.message.size",),
    "mailbox": ("sessionspan.store.mailbox",),
}
_MESSAGE: Final = ("user", "mailbox", "uidl", "size", "msg_id")
_USER: Final = ("username", "profile")
_HAS: Final[dict[str, tuple[str, ...]]] = {
    "start": ("usage",),
    "end": (),
    "login_start": ("username", "usage"),
    "login_pw_match": ("username",),
    "login_pw_nomatch": ("username", "stat"),
    "login_end": ("username",),
    "msg_store": _MESSAGE,
    "msg_open": _MESSAGE,
    "msg_delete": _MESSAGE,
    "user_create": _USER,
    "user_delete": _USER,
    "user_modify": _USER,
}

# The first word of a usage string: PMDF has 03 for its POP3 server and keeps the numbers to 20 for itself.
_USAGES: Final = {"POP3": "03", "IMAP": "21", "SMTP": "22", "LMTP": "22", "HTTP": "23", "JMAP": "23"}
_OTHER_USAGE: Final = "24"


def activity_data(activity: str, event: Event, timestamp: int, facts: Facts, view: View) -> Data:
    """What is said of *activity*, which *event* of *timestamp* (ns) was, in a session of these *facts*.

    *view* is that of the session's log events.
    """
    known: Mapping[str, Value] = view.redact(event, facts.identity)
    data: Data = {
        "log_id": log_id(),
        "log_subid": facts.auth_sequence,
        "log_type": ACTIVITIES[activity].number,
        "timestamp": timestamp,
        "session_id": known[names.SESSION_ID],
        "protocol": facts.values[names.PLAIN_PROTOCOL],
    }
    for field in _HAS[activity]:
        value = _usage(facts) if field == "usage" else _first(known, _FIELDS[field])
        if value is not None:
            data[field] = value
    return data


def _first(known: Mapping[str, Value], keys: tuple[str, ...]) -> Value | None:
    for key in keys:
        for form in (key, hashed_key(key)):
            if form in known:
                return known[form]
    return None


def _usage(facts: Facts) -> str:
    """Who uses what, as PMDF writes it: ``03:pop3:192.160.0.1+110:192.160.0.5+12839``."""
    values = facts.values
    protocol = str(values[names.PLAIN_PROTOCOL])
    client = values.get(names.CLIENT_ADDRESS, values.get(names.CLIENT_HASH))
    server_end = _end(values.get(names.LOCAL_ADDRESS), values.get(names.LOCAL_PORT))
    client_end = _end(client, values.get(names.CLIENT_PORT))
    return f"{_USAGES.get(protocol, _OTHER_USAGE)}:{protocol.lower()}:{server_end}:{client_end}"


def _end(host: Value | None, port: Value | None) -> str:
    return f"{'' if host is None else host}{'' if port is None else f'+{port}'}"


class ActivityLog:
    """Calls the function at *target*, ``package.module:function``, for the activities that *mask* lets through."""

    def __init__(self, target: str, mask: int) -> None:
        self._target = target
        self._selected = frozenset(selected(mask))
        self._waiting: queue.SimpleQueue[tuple[str, Data] | threading.Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ident: int | None = None  # of that thread
        self._starting = threading.Lock()
        self._useless = False  # there is no such function
        self._told: set[object] = set()  # what has been logged
        self.dropped = 0

    def tell(self, event: Event, timestamp: int, facts: Facts, view: View) -> None:
        """*event* happened at *timestamp* (ns) in a session of these *facts*, whose log events pass *view*."""
        if not event.seed_names.popstore or self._useless or threading.get_ident() == self._ident:
            return  # what the function itself does is no activity, or it would never end
        for activity in names_in("popstore", event):
            if activity in self._selected:
                self._put(activity, activity_data(activity, event, timestamp, facts, view))

    def flush(self, timeout: float = PATIENCE) -> bool:
        """Wait until the function has had all, at most *timeout* seconds; return whether it has."""
        if self._thread is None or threading.get_ident() == self._ident:
            return True
        reached = threading.Event()
        self._waiting.put(reached)
        return reached.wait(timeout)

    def _put(self, activity: str, data: Data) -> None:
        if self._waiting.qsize() >= LIMIT:
            self.dropped += 1
            self._say_once("full", "%s is too slow: %d activities wait for it, and further ones are lost.", LIMIT)
            return
        self._waiting.put((activity, data))
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="sessionspan-activity-log", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads, or the interpreter is at its end
                return
            self._thread = thread

    def _run(self) -> None:
        self._ident = threading.get_ident()
        function = self._load()
        while True:
            found = self._waiting.get()
            if isinstance(found, threading.Event):
                found.set()
            elif function is not None:
                self._call(function, *found)

    def _load(self) -> Function | None:
        # Not before the first activity: the module is the application's own, which has started by then.
        module, _, path = self._target.partition(":")
        try:
            function: Any = importlib.import_module(module)
            for name in path.split("."):
                function = getattr(function, name)
            if callable(function):
                return function  # type: ignore[no-any-return]
            reason = "it is no function"
        except BaseException as error:  # noqa: BLE001 - a module of somebody's own, which may do anything
            reason = type(error).__name__
        self._useless = True
        self._say_once(
            "load", "%s cannot be used (%s): no activities are logged. Its module is imported as usual.", reason
        )
        return None

    def _call(self, function: Function, activity: str, data: Data) -> None:
        try:
            function(activity, data)
        except BaseException as error:  # noqa: BLE001 - the site's own code, also when it wants to exit
            # Type and place only: the text may hold what a peer sent.
            file, line = place_of(error)
            self._say_once(
                (type(error), file, line),
                "%s raised %s at %s:%d; the session is not touched. Further ones at this line are not logged.",
                type(error).__name__,
                file,
                line,
            )

    def _say_once(self, what: object, message: str, *words: object) -> None:
        if what not in self._told and len(self._told) < 100:
            self._told.add(what)
            _log.warning(f"sessionspan: SESSIONSPAN_LOG_ACTIVITY={message}", self._target, *words)


_current: tuple[Settings, ActivityLog | None] | None = None


def activity_log() -> ActivityLog | None:
    """The activity log of this process; None when no function is set."""
    global _current
    chosen = settings()
    if _current is None or _current[0] is not chosen:
        wanted = chosen.log_activity
        _current = (chosen, ActivityLog(wanted, chosen.log_activity_mask) if wanted else None)
    return _current[1]


def flush(timeout: float = PATIENCE) -> None:
    """Wait until the function has had what was told so far, at most *timeout* seconds."""
    if _current is not None and _current[1] is not None:
        _current[1].flush(timeout)


def _after_fork() -> None:
    # The thread is the parent's, and so is what waits for it.
    global _current
    _current = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
