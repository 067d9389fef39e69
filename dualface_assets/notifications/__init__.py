"""Telling a webhook what has become of a video, at least once.

Belongs here: the sensors on ended runs, and the message. See https://docs.dagster.io/guides/automate/run-status-sensors.
"""
