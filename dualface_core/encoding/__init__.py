"""Encoders: their settings, how they fail, and who may use the scarce one.

Belongs here: what is known of encoders without running one in this process (no PyAV). Doesn't: opening one, which is
`media.writer`'s, or choosing one for a video, which is `rendering.choice`'s.
"""
