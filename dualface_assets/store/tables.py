"""The IO manager for the two tables, which get from asset to asset as Parquet.

Belongs here: reading and writing; where a file lies is decided by `VideoStore`, which refuses a partition key that is
not one. (Dagster's own path-based IO managers write outside their folder for a key such as `../../x`.) See
https://docs.dagster.io/guides/build/io-managers.
"""

from typing import Final

import dagster as dg

from dualface_assets.runs.failures import as_failure
from dualface_assets.runs.tags import PARTITION_ROW_COUNT
from dualface_assets.store.video_store import VideoStore
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.tile_plan import TilePlan

TABLES: Final[dict[str, type[FaceTracks | TilePlan]]] = {"face_tracks": FaceTracks, "composed_tiles": TilePlan}


class TableStorage(dg.ConfigurableIOManager):
    """Keeps FaceTracks and TilePlan as Parquet, one file per video."""

    store: dg.ResourceDependency[VideoStore]

    def handle_output(self, context: dg.OutputContext, obj: FaceTracks | TilePlan) -> None:
        """Write a table, and note where. Fails for a hostile key, or where it cannot be written."""
        with as_failure(context), self.store.mounted(context.step_context.instance):
            path = self.store.table_path(context.asset_key.path[-1], context.partition_key)
            with self.store.writing(path) as local:
                obj.write(local)
                size = local.stat().st_size
        context.add_output_metadata(
            {
                "path": dg.MetadataValue.path(self.store.files.address(path)),
                "size (bytes)": size,
                PARTITION_ROW_COUNT: obj.table.num_rows,
            }
        )

    def load_input(self, context: dg.InputContext) -> FaceTracks | TilePlan:
        """Read a table. Fails for a hostile key, and where the table is missing or is another one."""
        name = context.asset_key.path[-1]
        with (
            as_failure(context),
            self.store.mounted(context.step_context.instance),
            self.store.reading(self.store.table_path(name, context.partition_key)) as local,
        ):
            return TABLES[name].read(local)
