"""The Dagster layer: the five steps of `dualface_core.pipeline` as assets, with a sensor on uploads and checks.

Belongs here: everything that knows Dagster, and nothing that knows video. `dualface_assets.definitions` is what
`workspace.yaml` names.
"""
