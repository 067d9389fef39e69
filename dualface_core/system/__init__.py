"""The operating system: atomic files, locks, child processes, and paths as text.

Belongs here: what any program would need of the system. Doesn't: anything that knows of video.
"""
