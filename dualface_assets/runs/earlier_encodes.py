"""Whether NVENC failed at a video before, in a run that another one repeats: then software encodes.

Belongs here: the tags that a run leaves before it touches NVENC, and what they and the end of the run say afterwards.
The decision is `encoded_video`'s; a launcher that has other hosts for software looks here, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import dagster as dg

from dualface_assets.runs.failures import BUG, class_name, failure_of, repeated
from dualface_core.encoding.failures import FailureClass, Reaction, reaction
from dualface_core.errors import VerificationError

ENCODER_TAG: Final = "dualface/encoder"
"""Tag of a run: who encodes in it. It is set before the encoder is touched."""

NVENC: Final = "nvenc"
"""Value of that tag, and name of the pool."""

SESSION_WAIT_TAG: Final = "dualface/session_wait"
"""Tag of a run: the seconds that it waited for an NVENC session, known once NVENC has succeeded or failed."""

ENCODE_ON_GPU: Final = "encode_on_gpu"
"""Name of the step in which NVENC works."""


@dataclass(frozen=True)
class EarlierFailure:
    """An attempt with NVENC at this very video: how it ended, and the seconds that it waited for a session."""

    cause: str
    waited: float = 0.0


def earlier_nvenc_failure(run: dg.DagsterRun, instance: dg.DagsterInstance) -> EarlierFailure | None:
    """NVENC's failure in one of the runs that this one repeats; None if this repeats none, or it is not to blame."""
    for earlier in repeated(run, instance):
        if earlier.tags.get(ENCODER_TAG) == NVENC:
            done = instance.all_logs(earlier.run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
            encoded = any(str(event.get_dagster_event().step_key).endswith(f".{ENCODE_ON_GPU}") for event in done)
            if blamed := blamed_on_nvenc(failure_of(earlier.run_id, instance), encoded=encoded):
                return EarlierFailure(blamed, float(earlier.tags.get(SESSION_WAIT_TAG, 0)))
    return None


def blamed_on_nvenc(failure: str | None, *, encoded: bool) -> str | None:
    """What to say of a failed attempt with NVENC if NVENC may have been the cause; None if it was not.

    Args:
        failure: the class of the failure; None if the process ended without a word.
        encoded: whether NVENC had done its work by then.
    """
    if failure is None:
        return None if encoded else "its process ended without a word"
    if failure == BUG:
        return None if encoded else "an unexpected error"
    if failure in set(FailureClass):
        return failure if reaction(FailureClass(failure)) not in {Reaction.REPORT, Reaction.BUG} else None
    return failure if failure == class_name(VerificationError) else None
