"""A library to be instrumented: it serves SMTP, badly."""

from __future__ import annotations

import asyncio
import logging

log = logging.getLogger("foolib")


class Server:
    """Serves each connection in a task of its own."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer line by line until the client goes."""
        writer.write(b"220 foolib\r\n")
        while line := await reader.readline():
            log.info("the client said %r", line)
            verb = line.split()[0].upper() if line.strip() else b""
            refused = verb == b"AUTH"
            writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"535 no\r\n" if refused else b"250 ok\r\n")
            if verb == b"QUIT":
                break
        writer.close()
