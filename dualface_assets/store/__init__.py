"""Where videos, tables and results lie, and the key that each video has there.

Belongs here: paths, files (local and remote), partitions and IO managers. Doesn't: when anything is taken in
(`uploads`) or deleted (`housekeeping`).
"""
