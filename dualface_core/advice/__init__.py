"""What a person should know of a result although it is right: advisories, and timeline events to check.

Belongs here: figures with a limit and a sentence. Doesn't: anything that stops a publication (`verification`).
"""
