"""``python -m sessionspan.cli``: the command, in exactly this interpreter."""

from sessionspan.cli import main

main(prog_name="sessionspan")
