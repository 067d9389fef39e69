"""Which tracklets are person A, which are person B, and which are somebody else, over the whole video.

Belongs here: deciding from the embeddings, times and places of tracklets when the whole video is known. First,
tracklets are clustered into people, never joining two that are seen together; the two people with the most presence
are the persons. Then every tracklet gets the label that makes the whole most likely, and never two of one person at a
time. That step is exact: a tracklet may get a label if the last one with this label has ended, so dynamic programming
(Viterbi) needs to know no more than the last tracklet of each person.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.tables.labels import Person
from dualface_core.tracking.tracklets import Tracklet, center, size

_OTHER: Final = 2
"""The label of somebody else; 0 and 1 are the persons."""

_SAME: Final = 0.3
"""Mean cosine from which on two groups of tracklets are one person. SFace's own threshold for two images is 0.363; in
videos the same person turned aside falls below it, and two people stay below 0.25."""

_DISTINCT: Final = 0.25
"""Cosine below which two who are never seen together are two people, if their faces are clear. Otherwise one person,
now from the front and now in profile, is assumed."""

_CLEAR: Final = 2.0
"""Clear face crops that this needs."""

_SOMEBODY: Final = 0.5
"""Clear face crops that any person needs; less is a false detection. A video of less than a second has few, and needs
its share, which counts as `_LEAST_SHARE` at least."""

_LEAST_SHARE: Final = 0.2

_UNKNOWN: Final = 0.25
"""A stranger's cosine: somebody who looks less than this like A and B is more likely to be neither."""

_CHANGED: Final = 0.25
"""Cosine of a tracklet's face crops before and after a moment, below which it shows two people."""

_CHANGED_CLEARLY: Final = 1.0
"""Clear face crops before and after that moment that this needs."""

_SHARPNESS: Final = 10.0
"""Nats per unit of cosine, for one clear face crop."""

_MOST_WEIGHT: Final = 4.0
"""Face crops of one tracklet look alike: no more than so many clear ones count."""

_STRANGER: Final = 1.5
"""Nats against being neither A nor B."""

_CONTINUITY: Final = 2.0
"""Nats for one label of two tracklets of which the second begins where the first was heading."""

_CONTINUITY_SECONDS: Final = 1.0
"""How long that counts."""

_JUMP: Final = 6.0
"""Nats against one label of two tracklets if the second begins somewhere else altogether."""

_SHORTEST_PRESENCE: Final = 0.5
_SHORTEST_SHARE: Final = 0.5
"""Seconds for which a person is seen at least, or the share of a video that is shorter; less is a false detection."""

_TOGETHER: Final = 0.3
"""Seconds for which both are seen together, so that it may decide who is called A."""

_CLUSTERED: Final = 400
"""Tracklets, those with the most presence, that people are made of; the others are only labeled."""

_ROUNDS: Final = 10


@dataclass(frozen=True)
class EmbeddedTracklet:
    """A tracklet and what the face looks like.

    Attributes:
        tracklet: where it is, and when.
        embedding: (128,) float32 of length 1, the mean over its clear face crops.
        weight: how many clear face crops that is worth; a blurred or turned face counts for less than one.
    """

    tracklet: Tracklet
    embedding: NDArray[np.float32]
    weight: float

    @property
    def seconds(self) -> float:
        """How long it lasts; a single look counts as a tenth of a second."""
        return self.tracklet.times[-1] - self.tracklet.times[0] + 0.1

    @property
    def presence(self) -> float:
        """Seconds times size in pixels."""
        return self.seconds * float(np.mean([size(box) for box in self.tracklet.boxes]))


def split(
    tracklet: Tracklet, *, times: NDArray[np.float64], embeddings: NDArray[np.float32], quality: NDArray[np.float64]
) -> list[EmbeddedTracklet]:
    """Describe a tracklet by its face crops; where they show two people after all, as two tracklets.

    That happens where one person takes the other's place unnoticed, as in a dissolve.
    When exactly is not known, so what lies between the last crop of the one and the first of the other is left out.

    Args:
        tracklet: the detections.
        times: (n,) of the face crops, ascending, in seconds.
        embeddings: (n, 128), of length 1.
        quality: (n,) above 0, how much each face crop says.
    """
    weighted = quality[:, None] * embeddings
    before, after = np.cumsum(weighted, axis=0)[:-1], np.cumsum(weighted[::-1], axis=0)[-2::-1]
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    weight = np.cumsum(quality)[:-1]
    clear = np.minimum(weight, quality.sum() - weight) >= _CHANGED_CLEARLY
    alike = np.where(clear, np.sum(before * after, axis=1) / np.maximum(lengths, 1e-9), 1.0)
    if np.min(alike, initial=1.0) < _CHANGED:
        at = int(np.argmin(alike)) + 1
        first, second = tracklet.part(-np.inf, times[at - 1]), tracklet.part(times[at], np.inf)
        return [
            *split(first, times=times[:at], embeddings=embeddings[:at], quality=quality[:at]),
            *split(second, times=times[at:], embeddings=embeddings[at:], quality=quality[at:]),
        ]
    mean = weighted.sum(axis=0)
    embedding = np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)
    return [EmbeddedTracklet(tracklet, embedding, float(quality.sum()))]


@dataclass(frozen=True)
class Labeling:
    """Who is who.

    Attributes:
        people: the persons that there are: none, A, or A and B.
        persons: the person of every tracklet, or None for somebody else.
        margins: for every tracklet of a person, how many nats worse everything would be with the other person's label
            here; None where there is no other person.
        prototypes: (128,) float32 of length 1 for each of `people`.
    """

    people: tuple[Person, ...]
    persons: tuple[Person | None, ...]
    margins: tuple[float | None, ...]
    prototypes: dict[Person, NDArray[np.float32]]


@dataclass(frozen=True)
class _People:
    """Prototypes, each of length 1: (persons, 128) with at most two persons, and (strangers, 128)."""

    persons: NDArray[np.float32]
    strangers: NDArray[np.float32]


def identify(embedded: Sequence[EmbeddedTracklet], length: float = math.inf) -> Labeling:
    """Label the tracklets of a whole video of so many seconds, given in the order of their first frames."""
    if not embedded:
        return Labeling((), (), (), {})
    people = _people(embedded, length)
    labels: list[int] = []
    margins: list[float] = []
    for _ in range(_ROUNDS):
        before = labels
        labels, margins = _most_likely(embedded, people)
        if labels == before:
            break
        people = _refined(embedded, labels, people)
    names = _names(embedded, labels)
    return Labeling(
        people=tuple(sorted(names.values())),
        persons=tuple(names.get(label) for label in labels),
        margins=tuple(
            margin if len(names) == len(Person) and label in names else None
            for label, margin in zip(labels, margins, strict=True)
        ),
        prototypes={name: people.persons[label] for label, name in sorted(names.items(), key=lambda item: item[1])},
    )


def _people(embedded: Sequence[EmbeddedTracklet], length: float) -> _People:
    """Cluster the tracklets by average linkage, never joining two that are seen together, and choose the persons."""
    ranked = sorted(embedded, key=lambda item: -item.presence)[:_CLUSTERED]
    means = np.array([item.embedding for item in ranked])
    weight = np.array([item.weight for item in ranked])
    seconds = np.array([item.seconds for item in ranked])
    presence = np.array([item.presence for item in ranked])
    together = np.array([[_seen_together(a.tracklet, b.tracklet) for b in ranked] for a in ranked])
    alive = np.ones(len(ranked), bool)
    while True:
        # The mean cosine between the members of two clusters is the product of the clusters' mean vectors.
        cosines = np.where(together | ~alive | ~alive[:, None], -np.inf, means @ means.T)
        np.fill_diagonal(cosines, -np.inf)
        kept, merged = np.unravel_index(np.argmax(cosines), cosines.shape)
        if cosines[kept, merged] < _SAME:
            break
        weights = weight[[kept, merged]] / weight[[kept, merged]].sum()
        means[kept] = weights @ means[[kept, merged]]
        for total in (weight, seconds, presence):
            total[kept] += total[merged]
        together[kept] |= together[merged]
        together[:, kept] |= together[:, merged]
        alive[merged] = False
    prototypes = means / np.linalg.norm(means, axis=1, keepdims=True)
    shortest = min(_SHORTEST_PRESENCE, _SHORTEST_SHARE * length)
    enough = _SOMEBODY * min(1.0, max(_LEAST_SHARE, length))

    def is_new(cluster: int, known: list[int]) -> bool:
        """Whether a cluster is somebody, and surely none of the people known."""
        seen = together[cluster, known]
        looks = (prototypes[known] @ prototypes[cluster] < _DISTINCT) & (weight[cluster] >= _CLEAR)
        somebody = seconds[cluster] >= shortest and weight[cluster] >= enough
        return bool(somebody and np.all(seen | looks))

    clusters = sorted(np.flatnonzero(alive).tolist(), key=lambda cluster: -presence[cluster])
    known: list[int] = []
    for cluster in clusters:
        if is_new(cluster, known):
            known.append(cluster)
    return _People(prototypes[known[:2]], prototypes[known[2:]])


def _seen_together(one: Tracklet, other: Tracklet) -> bool:
    """Whether two faces are in the frame at the same time, at different places."""
    begin, end = max(one.times[0], other.times[0]), min(one.times[-1], other.times[-1])
    if one is other or begin > end:
        return False
    middle = (begin + end) / 2
    apart = np.linalg.norm(_position(one, middle) - _position(other, middle))
    return bool(apart > (size(one.boxes[0]) + size(other.boxes[0])) / 2)


def _position(tracklet: Tracklet, time: float) -> NDArray[np.float64]:
    """The center at a time within the tracklet, in pixels, between the two detections around it."""
    after = min(bisect_left(tracklet.times, time), len(tracklet.times) - 1)
    around = slice(max(after - 1, 0), after + 1)
    centers = np.array([center(box) for box in tracklet.boxes[around]])
    return np.array([np.interp(time, tracklet.times[around], centers[:, axis]) for axis in range(2)])


def _refined(embedded: Sequence[EmbeddedTracklet], labels: list[int], people: _People) -> _People:
    """The persons' prototypes again, from what was labeled as them."""
    persons = people.persons.copy()
    for label in range(len(persons)):
        mean = sum(
            (s.weight * s.embedding for s, found in zip(embedded, labels, strict=True) if found == label),
            np.zeros_like(persons[label]),
        )
        if np.any(mean):
            persons[label] = mean / np.linalg.norm(mean)
    return _People(persons, people.strangers)


def _label_costs(embedded: Sequence[EmbeddedTracklet], people: _People) -> NDArray[np.float64]:
    """(tracklets, 3): how unlikely A, B and somebody else are by looks alone, in nats."""
    embeddings = np.array([item.embedding for item in embedded])
    cosines = np.full((len(embedded), 3), -np.inf)
    cosines[:, : len(people.persons)] = embeddings @ people.persons.T
    cosines[:, _OTHER] = np.max(embeddings @ people.strangers.T, axis=1, initial=_UNKNOWN)
    likelihoods = _SHARPNESS * cosines
    weight = np.array([min(item.weight, _MOST_WEIGHT) for item in embedded])
    costs = weight[:, None] * (np.logaddexp.reduce(likelihoods, axis=1, keepdims=True) - likelihoods)
    costs[:, _OTHER] += _STRANGER
    return costs


_State = tuple[int | None, int | None]
"""The number of the last tracklet of each person, as far as it still matters."""


@dataclass(frozen=True)
class _Move:
    """One tracklet gets a label, which takes one state to the next at a cost."""

    state: _State
    label: int
    then: _State
    cost: float


def _most_likely(embedded: Sequence[EmbeddedTracklet], people: _People) -> tuple[list[int], list[float]]:
    """The labels with the least total cost, and for each tracklet by how much the other person's label is worse."""
    steps, reached = _trellis(embedded, _label_costs(embedded, people))
    # What the rest costs at least, from every state before every tracklet on.
    rest: list[dict[_State, float]] = [dict.fromkeys(reached[-1], 0.0)]
    for step in reversed(steps):
        before: dict[_State, float] = {}
        for move in step:
            before[move.state] = min(before.get(move.state, np.inf), move.cost + rest[-1][move.then])
        rest.append(before)
    rest.reverse()

    labels, margins = [], []
    state: _State = (None, None)
    best = rest[0][state]
    for step, so_far, ahead in zip(steps, reached, rest[1:], strict=False):
        chosen = min((move for move in step if move.state == state), key=lambda move: move.cost + ahead[move.then])
        swapped = min(
            (so_far[move.state] + move.cost + ahead[move.then] for move in step if move.label == 1 - chosen.label),
            default=np.inf,
        )
        labels.append(chosen.label)
        margins.append(float(swapped - best))
        state = chosen.then
    return labels, margins


def _trellis(
    embedded: Sequence[EmbeddedTracklet], label_costs: NDArray[np.float64]
) -> tuple[list[list[_Move]], list[dict[_State, float]]]:
    """All moves at every tracklet, and before each tracklet (and at the end) the least cost of every state."""
    steps: list[list[_Move]] = []
    reached: list[dict[_State, float]] = [{(None, None): 0.0}]
    for number in range(len(embedded)):
        moves = [
            move
            for state in reached[-1]
            for label in np.flatnonzero(np.isfinite(label_costs[number])).tolist()
            if (move := _move(embedded, state, number, label, float(label_costs[number, label]))) is not None
        ]
        after: dict[_State, float] = {}
        for move in moves:
            after[move.then] = min(after.get(move.then, np.inf), reached[-1][move.state] + move.cost)
        steps.append(moves)
        reached.append(after)
    return steps, reached


def _move(
    embedded: Sequence[EmbeddedTracklet], state: _State, number: int, label: int, label_cost: float
) -> _Move | None:
    """Give tracklet `number` a label, or None if the label is taken by another one at the same time."""
    tracklet = embedded[number].tracklet
    # Long gone is as good as never seen: states that differ in nothing else become one.
    recent = [last if last is not None and _matters(embedded[last].tracklet, tracklet) else None for last in state]
    cost = label_cost
    if label != _OTHER:
        last = recent[label]
        if last is not None:
            if embedded[last].tracklet.frames[-1] >= tracklet.frames[0]:
                return None
            cost += _link_cost(embedded[last].tracklet, tracklet)
        recent[label] = number
    return _Move(state, label, (recent[0], recent[1]), cost)


def _matters(last: Tracklet, tracklet: Tracklet) -> bool:
    """Whether an earlier tracklet says anything about one that begins now."""
    return last.shot == tracklet.shot and tracklet.times[0] - last.times[-1] <= _CONTINUITY_SECONDS


def _link_cost(last: Tracklet, tracklet: Tracklet) -> float:
    """How unlikely it is, in nats, that somebody who was last seen there is next seen here; below 0 for likely."""
    gap = tracklet.times[0] - last.times[-1]
    before, after = size(last.boxes[-1]), size(tracklet.boxes[0])
    aside = np.linalg.norm(center(tracklet.boxes[0]) - last.expected(tracklet.times[0])) / np.sqrt(before * after)
    surprise = (aside**2 + np.log(after / before) ** 2) / (2 * (0.4 + gap) ** 2)
    return float((min(surprise, _JUMP + _CONTINUITY) - _CONTINUITY) * (1 - gap / _CONTINUITY_SECONDS))


def _names(embedded: Sequence[EmbeddedTracklet], labels: list[int]) -> dict[int, Person]:
    """Which label is called A and which B: A is the one on the left where both are first seen together."""
    first, second = (
        [item.tracklet for item, label in zip(embedded, labels, strict=True) if label == person] for person in range(2)
    )
    if not first or not second:
        return {0: Person.A} if first else {1: Person.A} if second else {}
    side = _first_side(first, second)
    if side is None:
        side = first[0].frames[0] - second[0].frames[0]
    return {0: Person.A, 1: Person.B} if side <= 0 else {0: Person.B, 1: Person.A}


def _first_side(first: list[Tracklet], second: list[Tracklet]) -> float | None:
    """By how much the first person is to the right of the second where both are first seen together, in pixels.

    Moments shorter than `_TOGETHER` count only if there is no longer one. None if there is no such moment.
    """
    moments = []
    i = j = 0
    while i < len(first) and j < len(second):
        begin = max(first[i].times[0], second[j].times[0])
        end = min(first[i].times[-1], second[j].times[-1])
        if begin <= end:
            moments.append((end - begin < _TOGETHER, begin, min(end, begin + _TOGETHER), first[i], second[j]))
        if first[i].times[-1] <= second[j].times[-1]:
            i += 1
        else:
            j += 1
    if not moments:
        return None
    _, begin, end, one, other = min(moments, key=lambda moment: moment[:2])
    middle = (begin + end) / 2
    return float(_position(one, middle)[0] - _position(other, middle)[0])
