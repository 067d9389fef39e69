"""The card: what it is, what suits it, and how busy it is.

Belongs here: what NVML tells and what follows from it. Doesn't: NVENC sessions, which are `encoding`'s.
"""
