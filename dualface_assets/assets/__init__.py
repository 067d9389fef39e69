"""The assets, one module each in the order of the pipeline, and what they share: checks, metadata, progress.

Belongs here: what materializing does and shows. Doesn't: how the work is done (`dualface_core.pipeline`), or where
files lie (`store`). See https://docs.dagster.io/guides/build/assets.
"""
