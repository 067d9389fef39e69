"""Clearing up: after runs that could not do it themselves, and of what need not be kept any longer.

Belongs here: everything that deletes. Nothing else in the project removes a video or a result.
"""
