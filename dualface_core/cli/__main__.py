"""`python -m dualface_core.cli`."""

from dualface_core.cli.main import command

command()
