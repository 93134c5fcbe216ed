"""What the demo's client does: an ordinary conversation with smtplib, and one that breaks off."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from typing import Final

HOST: Final = "127.0.0.1"
SESSIONS: Final = 2
_PATIENCE: Final = 10.0  # seconds that a reply may take


class Unexpected(Exception):
    """The server answered otherwise than the demo needs."""


def talk(port: int, trust: ssl.SSLContext) -> None:
    """Hold both sessions with the server at *port*."""
    try:
        whole_session(port, trust)
        broken_session(port, trust)
    except smtplib.SMTPException as error:
        raise Unexpected(f"the server's answer was not expected: {error}") from error


def whole_session(port: int, trust: ssl.SSLContext) -> None:
    """STARTTLS, a wrong and a right password, two messages, a recipient that is refused."""
    with smtplib.SMTP(HOST, port, local_hostname="laptop.test", timeout=_PATIENCE) as client:
        client.starttls(context=trust)
        try:
            client.login("alice@example.org", "wrong pony")
        except smtplib.SMTPAuthenticationError:
            pass
        else:
            raise Unexpected("the wrong password was taken")
        client.login("alice@example.org", "correct horse")
        client.send_message(_message("bob@example.org, carol@elsewhere.example", "Lunch?"))
        client.send_message(_message("bob@example.org", "Lunch, second try"))


def broken_session(port: int, trust: ssl.SSLContext) -> None:
    """A client that is gone in the middle of a message."""
    client = smtplib.SMTP(HOST, port, local_hostname="phone.test", timeout=_PATIENCE)
    client.starttls(context=trust)
    client.ehlo()
    client.mail("mallory@example.com")
    client.rcpt("alice@example.org")
    client.close()


def _message(to: str, subject: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "alice@example.org"
    message["To"] = to
    message["Subject"] = subject
    message.set_content("Noon, at the usual place?\n")
    return message
