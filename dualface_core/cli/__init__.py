"""The `dualface` command: the steps from a shell, for one file or a hundred.

Belongs here: the program (`main`) and its commands (`app`), arguments (`inputs`), what is printed (`show`), many videos
at once (`run`), single steps (`steps`), exit codes. Doesn't: the work, which is `pipeline`'s.
"""
