"""Notifications: a webhook hears of finished videos and failed runs, at least once.

Belongs here: the sensors on ended runs, and the message. See https://docs.dagster.io/guides/automate/run-status-sensors.
"""
