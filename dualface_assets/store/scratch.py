"""The IO manager for what the steps of one run hand on to each other: JSON in the run's scratch folder.

Belongs here: reading and writing values of declared types. JSON, since reading a pickle runs what it says. See
https://docs.dagster.io/guides/build/io-managers.
"""

from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import TypeAdapter, ValidationError

from dualface_assets.runs.failures import as_failure
from dualface_assets.store.video_store import VideoStore
from dualface_core.errors import MissingInputError
from dualface_core.system.atomic_files import atomic_write


class ScratchStorage(dg.ConfigurableIOManager):
    """Keeps the output of a step, whose type must be declared, as `scratch/RUN/STEP/OUTPUT.json`."""

    store: dg.ResourceDependency[VideoStore]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write a value."""
        with as_failure(context), self.store.mounted(context.step_context.instance):
            path = self._path(context)
            path.parent.mkdir(exist_ok=True)
            with atomic_write(path) as temporary:
                temporary.write_bytes(_of(context).dump_json(obj))

    def load_input(self, context: dg.InputContext) -> Any:
        """Read a value. Fails where it is missing, or of another type."""
        output = context.upstream_output
        assert output is not None, "an input of this kind comes from a step"
        with as_failure(context), self.store.mounted(context.step_context.instance):
            path = self._path(output)
            try:
                return _of(output).validate_json(path.read_bytes())
            except (FileNotFoundError, ValidationError):
                found = "the notes of an earlier step are missing or damaged"
                raise MissingInputError(path, found, action="Materialize the asset as a whole.") from None

    def _path(self, context: dg.OutputContext) -> Path:
        run_id, *step, name = context.get_identifier()
        return self.store.scratch(run_id).joinpath(*step, f"{name}.json")


def _of(context: dg.OutputContext) -> TypeAdapter[Any]:
    return TypeAdapter(context.dagster_type.typing_type)
