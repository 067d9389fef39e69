"""The data that travels between the steps: tables with a declared schema, their labels, and layouts.

Belongs here: schemas, and the questions that every reader asks of them. Doesn't: how a table is made.
"""
