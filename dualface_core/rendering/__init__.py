"""Turning a plan into a video file: one streaming pass, in this process or, for NVENC, in a watched one of its own.

Belongs here: the pass, the choice of its encoder, and the report. Doesn't: whether the result is right
(`verification`).
"""
