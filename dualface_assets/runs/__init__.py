"""One run per video: its job, executor, limits, failures and retries, and the one seam to Dagster's inside.

Belongs here: what holds for each run however it was started. Doesn't: what its steps do (`assets`).
"""
