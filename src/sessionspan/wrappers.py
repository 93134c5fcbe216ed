"""The ways to listen in to a library's functions.

Each takes a *look* function of an instrumentation, which only reads, and makes of it a wrapper for one
function of the library. Wrappers are plain functions, cheaper than wrapt's; what *look* does wrong stops at
the guard, and what the library returns or raises goes through unchanged.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from opentelemetry.context import attach, detach, get_current

from sessionspan.guard import guard
from sessionspan.session import Session, current_session

Function: TypeAlias = Callable[..., Any]
Wrapper: TypeAlias = Callable[[Function], Function]


_NO_KWARGS: Final[dict[str, Any]] = {}


def before(look: Callable[..., None]) -> Wrapper:
    """*look* at the arguments, then call (or await)."""
    look_safely = guard(look)

    def wrap(original: Function) -> Function:
        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            look_safely(*args, **kwargs)
            return original(*args, **kwargs)

        @functools.wraps(original)
        async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
            look_safely(*args, **kwargs)
            return await original(*args, **kwargs)

        # A coroutine function stays one for those who ask.
        return async_wrapper if inspect.iscoroutinefunction(original) else wrapper

    return wrap


def after(look: Callable[..., None]) -> Wrapper:
    """Call, then *look* at the result (first) and the arguments."""
    look_safely = guard(look)

    def wrap(original: Function) -> Function:
        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            look_safely(result, *args, **kwargs)
            return result

        return wrapper

    return wrap


def after_awaiting(look: Callable[..., None]) -> Wrapper:
    """Await a coroutine function, then *look* at the result (first) and the arguments."""
    look_safely = guard(look)

    def wrap(original: Callable[..., Awaitable[Any]]) -> Function:
        @functools.wraps(original)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = await original(*args, **kwargs)
            look_safely(result, *args, **kwargs)
            return result

        return wrapper

    return wrap


def after_raising(look: Callable[..., None]) -> Wrapper:
    """Await a coroutine function; when it raises, *look* at the error (first) and the arguments."""
    look_safely = guard(look)

    def wrap(original: Callable[..., Awaitable[Any]]) -> Function:
        @functools.wraps(original)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                return await original(*args, **kwargs)
            except Exception as error:
                look_safely(error, *args, **kwargs)
                raise

        return wrapper

    return wrap


def giving(name: str, position: int, look: Callable[..., Any]) -> Wrapper:
    """Call (or await) with what *look* makes of the argument *name*; with the argument itself when it makes None.

    *position* is that of the argument when it is given without its name.
    """
    look_safely = guard(look)

    def wrap(original: Function) -> Function:
        def given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            made = look_safely(*args, **kwargs)
            if made is None:
                return args, kwargs
            if name in kwargs:
                return args, kwargs | {name: made}
            return (*args[:position], made, *args[position + 1 :]), kwargs

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = given(args, kwargs)
            return original(*args, **kwargs)

        @functools.wraps(original)
        async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = given(args, kwargs)
            return await original(*args, **kwargs)

        return async_wrapper if inspect.iscoroutinefunction(original) else wrapper

    return wrap


def in_session(look: Callable[..., Session | None]) -> Wrapper:
    """Call inside the session that *look* returns, so that what the library starts there inherits it."""

    def wrap(original: Function) -> Function:
        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            session = None
            try:  # several times in each session: so the guard stands here in full, without its own call
                session = look(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - as in the guard
                guard.failed(error)
            if session is None or session.ended:
                return original(*args, **kwargs)
            # Attached and detached in one synchronous call: a context never crosses a yield.
            token = attach(session.context)
            try:
                return original(*args, **kwargs)
            finally:
                detach(token)

        return wrapper

    return wrap


def whole_session(look: Callable[..., Session | None], ends: Callable[..., None]) -> Wrapper:
    """Await the method that serves the session which *look* returns, from its first byte to its end.

    *ends* is told the session, what was raised (or None) and the arguments; then the session ends.
    """
    ends_safely = guard(ends)

    @guard
    def begun(*args: Any, **kwargs: Any) -> Session | None:
        session = look(*args, **kwargs)
        if session is not None and get_current() is not session.context and current_session() is not session:
            attach(session.context)  # for the rest of this task, which serves nothing else
        return session

    def over(session: Session, raised: BaseException | None, /, *args: Any, **kwargs: Any) -> None:
        ends_safely(session, raised, *args, **kwargs)
        session.end()

    def wrap(original: Callable[..., Awaitable[Any]]) -> Function:
        # A server keeps this frame for each idle connection: so there is little in it, and no tuple of one object.
        @functools.wraps(original)
        async def wrapper(served: Any, /, *args: Any, **kwargs: Any) -> Any:
            session = begun(served, *args, **kwargs)
            if session is None:
                return await original(served, *args, **kwargs)
            kwargs = kwargs or _NO_KWARGS
            try:
                result = await original(served, *args, **kwargs)
            except BaseException as error:
                over(session, error, served, *args, **kwargs)
                raise
            over(session, None, served, *args, **kwargs)
            return result

        return wrapper

    return wrap


def during(begins: Callable[..., None], ends: Callable[..., None]) -> Wrapper:
    """Say *begins*, call, say *ends*, whatever it returns or raises."""
    begins_safely, ends_safely = guard(begins), guard(ends)

    def wrap(original: Function) -> Function:
        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            begins_safely(*args, **kwargs)
            try:
                return original(*args, **kwargs)
            finally:
                ends_safely(*args, **kwargs)

        return wrapper

    return wrap


def around(begins: Callable[..., Any], ends: Callable[..., None]) -> Wrapper:
    """Call, between *begins*, which may return something, and *ends*.

    *ends* is told what *begins* returned, the result, what was raised (or None), and the arguments; it is not
    called when *begins* returned None.
    """
    begins_safely, ends_safely = guard(begins), guard(ends)

    def wrap(original: Function) -> Function:
        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            begun = begins_safely(*args, **kwargs)
            if begun is None:
                return original(*args, **kwargs)
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                ends_safely(begun, None, error, *args, **kwargs)
                raise
            ends_safely(begun, result, None, *args, **kwargs)
            return result

        return wrapper

    return wrap


def inside(begins: Callable[..., Any], ends: Callable[..., None]) -> Wrapper:
    """As `around`, and the call runs in the context that ``enter()`` of what *begins* returned gives."""

    def entered(*args: Any, **kwargs: Any) -> tuple[Any, Any] | None:
        begun = begins(*args, **kwargs)
        # Attached and detached in one synchronous call: a context never crosses a yield.
        return None if begun is None else (begun, attach(begun.enter()))

    def left(entered: tuple[Any, Any], *rest: Any, **kwargs: Any) -> None:
        begun, token = entered
        detach(token)
        ends(begun, *rest, **kwargs)

    return around(entered, left)


def carrying(*names: str) -> Wrapper:
    """Call with the arguments of these *names*, callables, made to run in the session that is current now."""

    def wrap(original: Function) -> Function:
        places = {
            name: place for place, name in enumerate(inspect.signature(original).parameters) if name in names
        }

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            session = current_session()
            if session is None:
                return original(*args, **kwargs)
            given = list(args)
            for name, place in places.items():
                if place < len(given):
                    given[place] = _carried(given[place], session)
                elif name in kwargs:
                    kwargs[name] = _carried(kwargs[name], session)
            return original(*given, **kwargs)

        return wrapper

    return wrap


def _carried(function: Any, session: Session) -> Any:
    """*function*, so that it runs in *session*, and in the span that is current now, while the session lasts."""
    if not callable(function):
        return function
    context = get_current()

    @functools.wraps(function)
    def carried(*args: Any, **kwargs: Any) -> Any:
        if session.ended:
            return function(*args, **kwargs)
        token = attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            detach(token)

    return carried
