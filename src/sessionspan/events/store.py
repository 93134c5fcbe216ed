"""What happens to messages that are stored, and to accounts."""

from __future__ import annotations

from sessionspan.events.event import Event, Privacy, SeedNames, attribute, event, made_attribute
from sessionspan.process_run import log_id


@event
class _Message(Event):
    """Something was done with a stored message."""

    log_id: str = made_attribute("sessionspan.store.log_id", log_id)
    mailbox: str | None = attribute("sessionspan.store.mailbox", Privacy.ADDRESS)
    uid: str | None = attribute("sessionspan.mail.message.uid")  # RFC 1939 7 (UIDL), RFC 9051 2.3.1.1, RFC 4315 3
    size: int | None = attribute("sessionspan.mail.message.size")  # bytes of the whole message


@event
class StoreMessageOpen(_Message):
    """A client was sent a stored message, or a part of its body; its header alone is none."""

    name = "sessionspan.store.message.open"
    # A client that fetches a whole mailbox shall not push out what it deletes.
    vital = False
    shown = ("sessionspan.store.mailbox", "sessionspan.mail.message.uid", "sessionspan.mail.message.size")
    seed_names = SeedNames(popstore=("msg_open",))
    message_id: str | None = attribute("sessionspan.mail.message.id", Privacy.ADDRESS)  # without its brackets


@event
class StoreMessageDelete(_Message):
    """A stored message was deleted for good: marked and then expunged, not only marked."""

    name = "sessionspan.store.message.delete"
    shown = ("sessionspan.store.mailbox", "sessionspan.mail.message.uid")
    seed_names = SeedNames(popstore=("msg_delete",))


@event
class StoreMessageStore(_Message):
    """A client put a message into a mailbox (IMAP's APPEND)."""

    name = "sessionspan.store.message.store"
    shown = ("sessionspan.store.mailbox", "sessionspan.mail.message.uid", "sessionspan.mail.message.size")
    seed_names = SeedNames(popstore=("msg_store",))
    message_id: str | None = attribute("sessionspan.mail.message.id", Privacy.ADDRESS)


@event
class _Account(Event):
    """Something was done with an account.

    No protocol that we watch shows that: a program that manages accounts records these itself.
    """

    shown = ("sessionspan.store.user.name",)
    log_id: str = made_attribute("sessionspan.store.log_id", log_id)
    user: str = attribute("sessionspan.store.user.name", Privacy.IDENTITY)
    profile: tuple[str, ...] | None = attribute("sessionspan.store.user.profile", Privacy.REMARK)


@event
class StoreUserCreate(_Account):
    """An account was created."""

    name = "sessionspan.store.user.create"
    seed_names = SeedNames(popstore=("user_create",))


@event
class StoreUserDelete(_Account):
    """An account was deleted."""

    name = "sessionspan.store.user.delete"
    seed_names = SeedNames(popstore=("user_delete",))


@event
class StoreUserModify(_Account):
    """An account was changed; `profile` says how: ``quota:10240 -> 20480``."""

    name = "sessionspan.store.user.modify"
    seed_names = SeedNames(popstore=("user_modify",))
