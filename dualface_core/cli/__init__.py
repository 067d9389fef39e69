"""The `dualface` command: the steps from a shell, for one file or a hundred.

Belongs here: arguments, progress, what is printed, and exit codes. Doesn't: the work, which is `pipeline`'s.
"""
