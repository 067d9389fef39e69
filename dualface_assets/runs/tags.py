"""Names that Dagster gives a meaning to: tags of runs, and keys of metadata, each written here once.

Belongs here: names and what Dagster does with them. Doesn't: names of our own making, which stand with what they mean.
See https://docs.dagster.io/guides/build/assets/metadata-and-tags/tags. Dagster itself exports only one of them, so
`tests/assets/runs/test_dagster_internals.py` compares the others with its source.
"""

from typing import Final

PARTITION: Final = "dagster/partition"
"""Tag: the key of the run's video."""

RUN_KEY: Final = "dagster/run_key"
"""Tag: what a sensor asked for this run with. No sensor asks twice with the same."""

MAX_RETRIES: Final = "dagster/max_retries"
"""Tag: how many runs may follow a first one that fails."""

RETRY_STRATEGY: Final = "dagster/retry_strategy"
"""Tag: which steps a retry executes again."""

RETRY_ON_STEP_FAILURE: Final = "dagster/retry_on_asset_or_op_failure"
"""Tag: whether a run that fails in a step is retried. One whose process is killed is, in any case."""

RETRY_NUMBER: Final = "dagster/retry_number"
"""Tag of a run that the daemon has started as a retry: which one."""

FAILURE_REASON: Final = "dagster/failure_reason"
"""Tag of a failed run: the name of a `RunFailureReason`."""

WILL_RETRY: Final = "dagster/will_retry"
"""Tag of a failed run, soon after its end: `true` or `false`. It is a promise until `AUTO_RETRY_RUN_ID` is there."""

AUTO_RETRY_RUN_ID: Final = "dagster/auto_retry_run_id"
"""Tag of a failed run: its retry."""

MAX_RUNTIME: Final = "dagster/max_runtime"
"""Tag: after so many seconds the daemon ends the run."""

GRPC_INFO: Final = ".dagster/grpc_info"
"""Tag of a launched run: JSON with `host` and `port`, or `socket`, of the code server that has its process."""

PARTITION_ROW_COUNT: Final = "dagster/partition_row_count"
"""Metadata: rows of a partition of a table. (`dagster/row_count` would say that they are all of the table.)"""

COLUMN_SCHEMA: Final = "dagster/column_schema"
"""Metadata of an asset: the columns of its table, shown on its page."""

COLUMN_LINEAGE: Final = "dagster/column_lineage"
"""Metadata of a materialization: the columns that each column was made from."""
