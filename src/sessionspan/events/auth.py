"""Who a session acts as."""

from __future__ import annotations

from opentelemetry._logs import SeverityNumber

from sessionspan.events.event import Event, Privacy, SeedNames, attribute, event


@event
class AuthSuccess(Event):
    """The peer's credentials were accepted; from here the session acts as `identity`."""

    name = "sessionspan.auth.success"
    shown = ("sessionspan.auth.mechanism", "user.name")
    seed_names = SeedNames(rusmes=("User authenticated",), popstore=("login_start", "login_pw_match"))
    # RFC 4616: the authorization identity when one was given, else the authentication identity.
    identity: str | None = attribute("user.name", Privacy.IDENTITY)
    mechanism: str | None = attribute("sessionspan.auth.mechanism")
    user_name: str | None = attribute("sessionspan.auth.user.name", Privacy.IDENTITY)


@event
class AuthFailure(Event):
    """An attempt to log in failed. The attempted name may be a mistyped password: class envelope."""

    name = "sessionspan.auth.failure"
    refusal = True
    severity = SeverityNumber.WARN
    shown = ("sessionspan.auth.mechanism", "sessionspan.auth.user.name", "error.type")
    seed_names = SeedNames(popstore=("login_start", "login_pw_nomatch"))
    mechanism: str | None = attribute("sessionspan.auth.mechanism")
    user_name: str | None = attribute("sessionspan.auth.user.name", Privacy.ADDRESS)
    error_type: str = attribute("error.type", default="_OTHER")


@event
class AuthEnd(Event):
    """A logged-in identity ended: by logout, by another login, by STARTTLS, or with the session."""

    name = "sessionspan.auth.end"
    shown = ("user.name",)
    seed_names = SeedNames(popstore=("login_end",))
