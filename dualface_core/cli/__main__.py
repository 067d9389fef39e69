"""`python -m dualface_core.cli`."""

from dualface_core.cli.app import main

main()
