"""What happens to messages that are stored, and to accounts."""

from __future__ import annotations

from sessionspan.events.event import Event, Privacy, SeedNames, attribute, event, made_attribute
from sessionspan.process_run import log_id


@event
class StoreMessageOpen(Event):
    """A client was sent a stored message, or a part of its body; its header alone is none."""

    name = "sessionspan.store.message.open"
    # A client that fetches a whole mailbox shall not push out what it deletes.
    vital = False
    shown = ("sessionspan.store.mailbox", "sessionspan.mail.message.uid", "sessionspan.mail.message.size")
    seed_names = SeedNames(popstore=("msg_open",))
    log_id: str = made_attribute("sessionspan.store.log_id", log_id)
    mailbox: str | None = attribute("sessionspan.store.mailbox", Privacy.ADDRESS)
    uid: str | None = attribute("sessionspan.mail.message.uid")  # RFC 1939 7 (UIDL), RFC 9051 2.3.1.1
    size: int | None = attribute("sessionspan.mail.message.size")  # bytes of the whole message
    message_id: str | None = attribute("sessionspan.mail.message.id", Privacy.ADDRESS)  # without its brackets


@event
class StoreMessageDelete(Event):
    """A stored message was deleted for good: marked and then expunged, not only marked."""

    name = "sessionspan.store.message.delete"
    shown = ("sessionspan.store.mailbox", "sessionspan.mail.message.uid")
    seed_names = SeedNames(popstore=("msg_delete",))
    log_id: str = made_attribute("sessionspan.store.log_id", log_id)
    mailbox: str | None = attribute("sessionspan.store.mailbox", Privacy.ADDRESS)
    uid: str | None = attribute("sessionspan.mail.message.uid")
    size: int | None = attribute("sessionspan.mail.message.size")


@event
class StoreMessageStore(Event):
    """A client put a message into a mailbox (IMAP's APPEND)."""

    name = "sessionspan.store.message.store"
    shown = ("sessionspan.store.mailbox", "sessionspan.mail.message.uid", "sessionspan.mail.message.size")
    seed_names = SeedNames(popstore=("msg_store",))
    log_id: str = made_attribute("sessionspan.store.log_id", log_id)
    mailbox: str | None = attribute("sessionspan.store.mailbox", Privacy.ADDRESS)
    uid: str | None = attribute("sessionspan.mail.message.uid")  # RFC 4315 3: APPENDUID
    size: int | None = attribute("sessionspan.mail.message.size")
    message_id: str | None = attribute("sessionspan.mail.message.id", Privacy.ADDRESS)


@event
class StoreUserCreate(Event):
    """An account was created."""

    name = "sessionspan.store.user.create"
    shown = ("sessionspan.store.user.name",)
    seed_names = SeedNames(popstore=("user_create",))
    log_id: str = made_attribute("sessionspan.store.log_id", log_id)
    user: str = attribute("sessionspan.store.user.name", Privacy.IDENTITY)
    profile: tuple[str, ...] | None = attribute("sessionspan.store.user.profile", Privacy.REMARK)


@event
class StoreUserDelete(Event):
    """An account was deleted."""

    name = "sessionspan.store.user.delete"
    shown = ("sessionspan.store.user.name",)
    seed_names = SeedNames(popstore=("user_delete",))
    log_id: str = made_attribute("sessionspan.store.log_id", log_id)
    user: str = attribute("sessionspan.store.user.name", Privacy.IDENTITY)
    profile: tuple[str, ...] | None = attribute("sessionspan.store.user.profile", Privacy.REMARK)


@event
class StoreUserModify(Event):
    """An account was changed; `profile` says how: ``quota:10240 -> 20480``."""

    name = "sessionspan.store.user.modify"
    shown = ("sessionspan.store.user.name",)
    seed_names = SeedNames(popstore=("user_modify",))
    log_id: str = made_attribute("sessionspan.store.log_id", log_id)
    user: str = attribute("sessionspan.store.user.name", Privacy.IDENTITY)
    profile: tuple[str, ...] | None = attribute("sessionspan.store.user.profile", Privacy.REMARK)
