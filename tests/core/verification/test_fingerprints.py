from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dualface_core.errors import MachineError, MissingInputError, TableFormatError
from dualface_core.tables.layouts import layout
from dualface_core.verification.fingerprints import FORM, FingerprintWriter, read_fingerprints


def test_fingerprints_that_are_gone_are_told_from_those_on_a_drive_that_is_gone(
    tmp_path: Path, lost_drive: Path
) -> None:
    with pytest.raises(MissingInputError, match=r"are gone\. Render again"):
        read_fingerprints(tmp_path / "fingerprints", layout("side-by-side"), 3)
    with pytest.raises(MachineError, match="The file may be fine"):
        read_fingerprints(lost_drive / "fingerprints", layout("side-by-side"), 3)


def test_fingerprints_of_another_form_are_not_compared_with(tmp_path: Path) -> None:
    path, shape = tmp_path / "fingerprints", layout("side-by-side")
    with FingerprintWriter(path, shape) as writer:
        writer.add(tuple(np.zeros((shape.height // scale, shape.width // scale), np.uint8) for scale in (1, 2, 2)))
    frame = read_fingerprints(path, shape, 1)[0].copy()
    frame[-1] = FORM - 1
    path.write_bytes(frame.tobytes())
    with pytest.raises(TableFormatError, match=rf"of form {FORM - 1}, not {FORM}\. Render again"):
        read_fingerprints(path, shape, 1)
