"""Programs that people start: `serve`, `doctor`, `demo`, and the guarded web page.

Belongs here: processes of a running installation and its settings. Nothing imports this room.
"""
