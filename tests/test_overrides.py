"""Overrides: a patch holds for what subclasses override, now and later, and is taken back exactly."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from sessionspan.overrides import Overrides


def counting(calls: list[str]) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            calls.append(original.__qualname__.split(".<locals>.")[-1])
            return original(*args, **kwargs)

        return wrapper

    return wrap


def family() -> tuple[type, type, type]:
    class Base:
        def act(self) -> str:
            return "base"

    class Child(Base):
        def act(self) -> str:
            return "child"

    class Grandchild(Child):
        def act(self) -> str:
            return "grand" + super().act()

    return Base, Child, Grandchild


def test_overrides_of_now_and_of_later_are_wrapped() -> None:
    base, child, grandchild = family()
    calls: list[str] = []
    Overrides(base, {"act": counting(calls)}).apply()
    later: Any = type("Later", (child,), {"act": lambda self: "later"})
    assert [cls().act() for cls in (child, grandchild, later)] == ["child", "grandchild", "later"]
    assert calls == ["Child.act", "Grandchild.act", "Child.act", "<lambda>"]


def test_what_is_restored_is_what_was_there() -> None:
    base, child, grandchild = family()
    before = [dict(vars(cls)) for cls in (base, child, grandchild)]
    overrides = Overrides(base, {"act": counting([])})
    for _ in range(2):
        overrides.apply()
        assert vars(child)["act"] is not before[1]["act"]
        overrides.restore()
    assert [dict(vars(cls)) for cls in (base, child, grandchild)] == before
    later: Any = type("Later", (base,), {"act": lambda self: "later"})
    assert not hasattr(vars(later)["act"], "__wrapped__")


def test_a_wrapper_over_ours_stays() -> None:
    base, child, _ = family()
    overrides = Overrides(base, {"act": counting([])})
    overrides.apply()
    theirs: Any = functools.wraps(vars(child)["act"])(lambda self: "theirs")
    child.act = theirs  # type: ignore[attr-defined]
    overrides.restore()
    assert vars(child)["act"] is theirs


def test_an_alias_is_wrapped_once() -> None:
    base, child, _ = family()
    calls: list[str] = []
    Overrides(base, {"act": counting(calls)}).apply()
    alias: Any = type("Alias", (base,), {"act": vars(child)["act"]})
    assert alias().act() == "child"
    assert calls == ["Child.act"]


def test_what_is_no_function_is_left_alone() -> None:
    base, _, _ = family()
    Overrides(base, {"act": counting([])}).apply()
    fixed: Any = type("Fixed", (base,), {"act": staticmethod(lambda: "static")})
    assert isinstance(vars(fixed)["act"], staticmethod)


def test_a_hook_of_the_base_for_its_subclasses_is_called_and_put_back() -> None:
    made: list[tuple[str, str]] = []

    class Base:
        def __init_subclass__(cls, kind: str = "", **kwargs: Any) -> None:
            made.append((cls.__name__, kind))

        def act(self) -> str:
            return "base"

    own = vars(Base)["__init_subclass__"]
    overrides = Overrides(Base, {"act": counting([])})
    overrides.apply()

    class Child(Base, kind="own"):
        def act(self) -> str:
            return "child"

    assert made == [("Child", "own")]
    assert hasattr(vars(Child)["act"], "__wrapped__")
    overrides.restore()
    assert vars(Base)["__init_subclass__"] is own
