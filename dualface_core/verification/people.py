"""Findings about names: whoever tiles show as A is one person, and not the one that they show as B.

Belongs here: grouping the faces of the result by their likeness alone. What the tracks say of names is not asked, so
that what is found cannot agree with a wrong label. Groups are made by average linkage (Sokal and Michener, 1958).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.tables.labels import Person
from dualface_core.verification.expected import evenly
from dualface_core.verification.findings import Check, Finding, clock

SAME_PERSON: Final = 0.363
"""Cosine of two embeddings of one person, by OpenCV Zoo's measure of SFace. A face below it is like nobody's."""

LEAST_QUALITY: Final = 0.4
"""Score by frontality that a face must have to be grouped: one in profile is like nobody's, its own person's either."""

ONE_GROUP: Final = 0.25
"""Mean cosine of two groups from which on they are one."""

STRANGER: Final = 0.15
"""Mean cosine below which a group of faces is surely not the person that most others are."""

ONE_PERSON: Final = 0.55
"""Mean cosine from which on A and B are surely one person, unless both are seen at once."""

_APART: Final = 0.2
"""Mean cosine by which the faces of each of two people are more like one another than like those of the other."""

_LEAST_GROUP: Final = 3
"""Faces that make a group worth a word; one or two may be turned, covered or blurred."""

_MOST_FACES: Final = 240
"""Faces of a person that are grouped, evenly spread: the time that it takes grows with their square."""


class TileFaces:
    """The faces that tell most of those that tiles show as one person."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._embeddings: list[NDArray[np.float32]] = []

    def add(self, time: float, embedding: NDArray[np.float32]) -> None:
        """Take a face: its time in seconds, and 128 numbers of length 1."""
        self._times.append(time)
        self._embeddings.append(embedding)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._times)

    def groups(self) -> list[Group]:
        """Faces that are alike, the largest group first."""
        from scipy.cluster.hierarchy import fcluster, linkage  # which who only looks for faces does not need

        places = evenly(range(len(self._times)), _MOST_FACES)
        embeddings = np.array([self._embeddings[place] for place in places])
        times = np.array([self._times[place] for place in places])
        if len(places) < 2:
            return [Group(times, embeddings)] if places else []
        marks = fcluster(linkage(embeddings, "average", metric="cosine"), 1 - ONE_GROUP, "distance")
        found = [Group(times[marks == mark], embeddings[marks == mark]) for mark in np.unique(marks)]
        return sorted(found, key=lambda group: len(group.times), reverse=True)


class Group:
    """Faces that are alike: times in seconds, (faces,), and embeddings, (faces, 128)."""

    def __init__(self, times: NDArray[np.float64], embeddings: NDArray[np.float32]) -> None:
        self.times = times
        self._mean = embeddings.mean(axis=0)

    def likeness(self, other: Group) -> float:
        """The mean cosine of a face of this group with one of another."""
        return float(self._mean @ other._mean)

    def __str__(self) -> str:
        return f"{len(self.times)} faces from {clock(self.times.min())} to {clock(self.times.max())}"


def people_findings(faces: Mapping[Person, TileFaces], at_once: int) -> Iterator[Finding]:
    """Per person: whether tiles show one only; and whether A and B are two.

    Args:
        faces: those that tiles show as each person.
        at_once: sampled frames in which both were found.
    """
    groups = {person: found for person, each in faces.items() if (found := each.groups())}
    mains = {person: found[0] for person, found in groups.items()}
    for person, (main, *others) in groups.items():
        yield _one_finding(person, main, [group for group in others if len(group.times) >= _LEAST_GROUP], mains)
    if len(mains) > 1 and min(len(main.times) for main in mains.values()) >= _LEAST_GROUP:
        yield _two_finding(mains, at_once)


def _one_finding(person: Person, main: Group, others: Sequence[Group], mains: Mapping[Person, Group]) -> Finding:
    other = min(others, key=main.likeness, default=main)
    cosine = main.likeness(other)
    message = f"Tiles show one person as {person}: {main}."
    if other is not main:
        message = f"Tiles show two people as {person}: {main}, and {other} with a mean cosine of {cosine:.2f} to them"
        also = [name for name, group in mains.items() if name != person and group.likeness(other) >= SAME_PERSON]
        message += f", who are {also[0]}'s." if also else "."
    return Finding(
        check=Check.PEOPLE,
        passed=other is main,
        severity="error" if cosine < STRANGER else "warning",
        value=round(cosine, 3),
        expected=f"no {_LEAST_GROUP} faces with a mean cosine below {ONE_GROUP:g} to the others",
        message=message,
    )


def _two_finding(mains: Mapping[Person, Group], at_once: int) -> Finding:
    (first, one), (second, other) = mains.items()
    cosine, own = one.likeness(other), min(one.likeness(one), other.likeness(other))
    most = max(SAME_PERSON, own - _APART)
    if cosine < most:
        message = (
            f"{first} and {second} are two people: {one}, and {other}, with a mean cosine of {cosine:.2f}, and of at "
            f"least {own:.2f} among each one's own."
        )
    elif at_once:
        message = (
            f"{first} and {second} look alike: {one}, and {other}, with a mean cosine of {cosine:.2f}; both are seen "
            f"at once in {at_once} sampled frames. See whether each is in their own tile throughout."
        )
    else:
        message = (
            f"Tiles show one person as {first} and as {second}: {one}, and {other}, with a mean cosine of "
            f"{cosine:.2f}, and never both at once."
        )
    return Finding(
        check=Check.PEOPLE,
        passed=cosine < most,
        severity="error" if cosine >= ONE_PERSON and not at_once else "warning",
        value=round(cosine, 3),
        expected=f"below {most:.3g}",
        message=message,
    )
