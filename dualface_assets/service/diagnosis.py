"""What the doctor says: one answer to one question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["good", "warning", "problem"]


@dataclass(frozen=True)
class Diagnosis:
    """One answer.

    Attributes:
        subject: what was checked.
        verdict: "problem" where something will not work, "warning" where it will work less well.
        text: what was found, and what to do about it.
    """

    subject: str
    verdict: Verdict
    text: str
