"""How a video gets from the inbox into the store: seen, found complete, claimed once, registered.

Belongs here: the inbox, the intake and the sensor on it. See https://docs.dagster.io/guides/automate/sensors.
"""
