"""Faces in one frame: finding them, and describing whose they are.

Belongs here: the two networks, their weights, and face crops. Doesn't: anything over time, which is `tracking`'s.
"""
