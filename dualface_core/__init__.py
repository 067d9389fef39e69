"""dualface_core: two people in one video, each in a tile of their own. A pure library without orchestration.

The five steps live in `dualface_core.pipeline`; `dualface_core.cli` is the command that runs them. Nothing here
knows of Dagster: that is `dualface_assets`.
"""
