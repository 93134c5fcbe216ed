"""A honeypot without root: an SMTP server, a POP3 server and a shell over telnet, all of them fake.

export SESSIONSPAN_INTERACTIONS=on SESSIONSPAN_CAPTURE=content
sessionspan run --console python honeypot.py
"""

from __future__ import annotations

import argparse
import base64
import json
import logging
import os
import socketserver
import threading

from sessionspan import current_session, handler_session

log = logging.getLogger("honeypot")
ANSWERS = {
    "id": "uid=0(root) gid=0(root) groups=0(root)",
    "uname -a": "Linux srv01 5.10.0-8-amd64 x86_64 GNU/Linux",
}


class Attempts:
    """What was tried as a password, in a file of ours, a line of JSON each: no telemetry ever has it."""

    path = "attempts.jsonl"

    @classmethod
    def add(cls, user: str, password: str) -> None:
        """Keep one attempt, under the id that the session has in the telemetry."""
        line = json.dumps({"session_id": current_session().id, "user": user, "password": password})
        opened = os.open(cls.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(opened, "w") as file:
            file.write(line + "\n")


class Service(socketserver.StreamRequestHandler):
    """What all three have in common: lines, none of them too long, and nobody stays silent for ever."""

    timeout = 60  # seconds

    def ask(self, question: str = "") -> str | None:
        """The client's next line; None when it has gone."""
        self.say(question, end="")
        try:
            line = self.rfile.readline(4096)
        except OSError:
            return None
        return line.decode("utf-8", "replace").strip() if line else None

    def say(self, text: str, end: str = "\r\n") -> None:
        """Send *text*."""
        self.wfile.write((text + end).encode())


@handler_session("smtp")
class SMTP(Service):
    """Takes every login and every message."""

    def handle(self) -> None:
        """Serve one client."""
        log.info("an actor has connected to port %d", self.server.server_address[1])
        self.say("220 mail.example ESMTP")
        while (line := self.ask()) is not None:
            verb, _, argument = line.partition(" ")
            match verb.upper():
                case "EHLO":
                    self.say("250-mail.example\r\n250 AUTH PLAIN")
                case "AUTH":
                    _, user, password = base64.b64decode(argument.partition(" ")[2]).decode().split("\0")
                    Attempts.add(user, password)
                    self.say("235 2.7.0 accepted")
                case "DATA":
                    self.say("354 go on")
                    while self.ask() not in (None, "."):
                        pass
                    self.say("250 2.0.0 queued")
                case "QUIT":
                    return self.say("221 2.0.0 bye")
                case _:
                    self.say("250 2.0.0 ok")


@handler_session("pop3")
class POP3(Service):
    """Lets nobody in."""

    def handle(self) -> None:
        """Serve one client."""
        user = ""
        self.say("+OK ready")
        while (line := self.ask()) is not None:
            verb, _, argument = line.partition(" ")
            match verb.upper():
                case "USER":
                    user = argument
                    self.say("+OK")
                case "PASS":
                    Attempts.add(user, argument)
                    self.say("-ERR [AUTH] no")
                case "QUIT":
                    return self.say("+OK bye")
                case _:
                    self.say("-ERR what?")


@handler_session("telnet")  # which no observer knows: its bytes are the interactions
class Shell(Service):
    """Lets everybody in."""

    def handle(self) -> None:
        """Serve one client."""
        user, password = self.ask("srv01 login: "), self.ask("Password: ")
        if user is None or password is None:
            return
        Attempts.add(user, password)
        current_session().set_username(user)
        self.say("")
        while (line := self.ask("# ")) not in (None, "exit"):
            self.say(ANSWERS.get(line, f"-sh: {line}: not found") if line else "")


class Server(socketserver.ThreadingTCPServer):
    """A thread for each client."""

    allow_reuse_address = daemon_threads = True


def main() -> None:
    """Serve until somebody says stop."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    services = {"smtp": (SMTP, 2525), "pop3": (POP3, 2110), "telnet": (Shell, 2323)}
    for name, (_, port) in services.items():
        parser.add_argument(f"--{name}", type=int, default=port, metavar="PORT", help="default: %(default)s")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--attempts", default=Attempts.path, metavar="FILE", help="default: %(default)s")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    Attempts.path = options.attempts
    for name, (handler, _) in services.items():
        server = Server((options.host, getattr(options, name)), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(name, server.server_address[1], flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
