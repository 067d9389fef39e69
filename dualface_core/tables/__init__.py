"""The data that travels between the steps: tables with a declared schema, and the layouts that they refer to.

Belongs here: schemas, and the questions that every reader asks of them. Doesn't: how a table is made.
"""
