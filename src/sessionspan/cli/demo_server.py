"""An ordinary mail server for example.org, written with aiosmtpd: STARTTLS, one user, no relaying."""

import asyncio
import hmac
import ssl
import sys
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

PASSWORDS = {b"alice@example.org": b"correct horse"}


class Mailbox:
    """Takes mail for example.org, and forgets it."""

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        """Refuse what is not ours."""
        if not address.lower().endswith("@example.org"):
            return "550 5.7.1 We do not relay"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Take the message."""
        return "250 2.0.0 Taken"


def check_password(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, credentials: Any
) -> AuthResult:
    """Whether the user may log in."""
    if not isinstance(credentials, LoginPassword):
        return AuthResult(success=False, handled=False)
    known = PASSWORDS.get(credentials.login, b"")
    return AuthResult(success=bool(known) and hmac.compare_digest(known, credentials.password), handled=False)


async def serve(certificate: str) -> None:
    """Serve on a free port of this machine, and say which."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)

    def connection() -> SMTP:
        return SMTP(
            Mailbox(),
            hostname="mail.example.org",
            tls_context=tls,
            require_starttls=True,
            authenticator=check_password,
            auth_exclude_mechanism=["LOGIN"],
        )

    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    print("listening on port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
