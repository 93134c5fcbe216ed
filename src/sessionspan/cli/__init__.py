"""The command ``sessionspan``. Each subcommand is a module, imported when it is asked for.

Only this package imports click and rich: an instrumented application never does.
"""

from __future__ import annotations

import importlib
from typing import Final

import click

from sessionspan.version import __version__

# What `sessionspan --help` says of each, without importing it: name -> (function, one line).
_COMMANDS: Final = {
    "demo": ("sessionspan.cli.demo:demo", "See it work: a real SMTP server, real sessions, no backend."),
    "doctor": (
        "sessionspan.cli.doctor.command:doctor",
        "Say what would be recorded, where it goes, what is in the way.",
    ),
    "run": ("sessionspan.cli.run:run", "Run a Python program with its sessions recorded."),
}


class _Lazy(click.Group):
    """A group whose commands are imported when they run, so that the help is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, _, function = _COMMANDS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), function)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and (args[0].endswith(".py") or args[0].startswith("python")):
            ctx.fail(f"no such command {args[0]!r}. Did you mean: sessionspan run {' '.join(args)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sessionspan", message="%(prog)s %(version)s")
def main() -> None:
    """Every SMTP session of your server as one OpenTelemetry span, each step of it an event.

    Nothing in the server changes: you start it with `sessionspan run`.

    \b
    See it work, with nothing set up:
      sessionspan demo
    \b
    Watch your own server's sessions, a line per event:
      sessionspan run --console python my_server.py
    \b
    Send them to a backend (any that takes OTLP):
      export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318
      sessionspan run python my_server.py
    """
