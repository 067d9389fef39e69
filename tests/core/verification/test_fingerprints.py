from __future__ import annotations

from pathlib import Path

import pytest

from dualface_core.errors import MachineError, MissingInputError
from dualface_core.tables.layouts import layout
from dualface_core.verification.fingerprints import read_fingerprints


def test_fingerprints_that_are_gone_are_told_from_those_on_a_drive_that_is_gone(
    tmp_path: Path, lost_drive: Path
) -> None:
    with pytest.raises(MissingInputError, match=r"are gone\. Render again"):
        read_fingerprints(tmp_path / "fingerprints", layout("side-by-side"), 3)
    with pytest.raises(MachineError, match="The file may be fine"):
        read_fingerprints(lost_drive / "fingerprints", layout("side-by-side"), 3)
