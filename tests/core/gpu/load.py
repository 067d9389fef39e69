"""The load of a long job, made by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from dualface_core.gpu.monitor import LoadLog, LoadMetadata

GPU_COLUMNS = LoadLog.SCHEMA.names[LoadLog.SCHEMA.names.index("gpu_percent") :]


def long_log(rows: int, *, gpu: str | None) -> LoadLog:
    """What ten hours of a busy machine look like."""
    random = np.random.default_rng(0)
    columns = {field.name: random.uniform(0, 100, rows) for field in LoadLog.SCHEMA} | {
        "time": np.arange(rows, dtype=float)
    }
    columns["job_memory"] = random.uniform(1 << 30, 4 << 30, rows)
    arrays = [
        pa.nulls(rows, field.type)
        if gpu is None and field.name in GPU_COLUMNS
        else pa.array(columns[field.name]).cast(field.type, safe=False)
        for field in LoadLog.SCHEMA
    ]
    metadata = LoadMetadata(started=datetime.now(UTC), pid=1, cores=4, memory=1 << 34, gpu=gpu)
    return LoadLog(pa.Table.from_arrays(arrays, schema=LoadLog.SCHEMA), metadata)
