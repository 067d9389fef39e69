from __future__ import annotations

import numpy as np
import pytest

from dualface_core.tables.labels import Person
from dualface_core.verification.findings import Finding
from dualface_core.verification.people import TileFaces, people_findings

A, B = Person


def faces(*groups: tuple[int, int, float]) -> TileFaces:
    """Faces, each half a second after the last: how many, whose, and how much they are like person 0 besides."""
    rng = np.random.default_rng(0)
    found = TileFaces()
    for count, person, like in groups:
        for _ in range(count):
            embedding = 0.05 * rng.normal(size=128)
            embedding[person] += 1
            embedding[0] += like
            found.add(len(found) / 2, (embedding / np.linalg.norm(embedding)).astype(np.float32))
    return found


def judged(first: TileFaces, second: TileFaces, *, at_once: int = 0) -> list[Finding]:
    return list(people_findings({A: first, B: second}, at_once))


def test_two_people_who_are_themselves_throughout_are_right() -> None:
    findings = judged(faces((12, 0, 0.0)), faces((9, 1, 0.2)))
    assert all(finding.passed for finding in findings), findings
    assert "A and B are two people: 12 faces from 0:00.0 to 0:05.5" in findings[-1].message


def test_two_who_are_alike_are_two_where_each_is_more_like_themselves() -> None:
    finding = judged(faces((12, 0, 0.0)), faces((9, 1, 0.6)))[-1]
    assert isinstance(finding.value, float)
    assert finding.value > 0.363
    assert finding.passed, finding.message


def test_a_second_person_under_one_letter_is_found_with_figures() -> None:
    finding = judged(faces((12, 0, 0.0), (4, 2, 0.0)), faces((9, 1, 0.0)))[0]
    assert (finding.passed, finding.severity) == (False, "error")
    assert finding.message.startswith(
        "Tiles show two people as A: 12 faces from 0:00.0 to 0:05.5, and 4 faces from 0:06.0"
    )


def test_the_other_person_under_ones_letter_is_named() -> None:
    finding = judged(faces((12, 0, 0.0), (4, 1, 0.0)), faces((9, 1, 0.0)))[0]
    assert finding.message.endswith("who are B's.")


@pytest.mark.parametrize("groups", [((12, 0, 0.0), (2, 2, 0.0)), ((12, 0, 0.0), (4, 2, 0.4))], ids=["few", "alike"])
def test_a_few_faces_or_faces_that_are_somewhat_like_the_others_are_nobody_else(
    groups: tuple[tuple[int, int, float], ...],
) -> None:
    assert judged(faces(*groups), faces((9, 1, 0.0)))[0].passed


@pytest.mark.parametrize(("at_once", "severity"), [(0, "error"), (5, "warning")])
def test_one_person_under_both_letters_is_found_and_look_alikes_are_told(at_once: int, severity: str) -> None:
    finding = judged(faces((12, 0, 0.0)), faces((9, 1, 1.0)), at_once=at_once)[-1]
    assert (finding.passed, finding.severity) == (False, severity)
    assert ("look alike" if at_once else "Tiles show one person as A and as B") in finding.message


def test_of_a_long_video_some_faces_are_grouped() -> None:
    finding = judged(faces((700, 0, 0.0), (300, 2, 0.0)), faces((9, 1, 0.0)))[0]
    assert "168 faces from 0:00.0" in finding.message
    assert "and 72 faces from 5:5" in finding.message
