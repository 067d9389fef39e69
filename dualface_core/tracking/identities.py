"""Which tracklets are person A, which are person B, and which are nobody, over the whole video.

Belongs here: deciding from the embeddings, times and places of tracklets when the whole video is known. First,
tracklets are clustered into people, never joining two that are seen together; the two people with the most presence
are the persons. Then every tracklet gets the label that makes the whole most likely, and never two of one person at a
time. "Nobody" is a label like the others: a stranger, or no face at all. That step is exact: a tracklet may get a label
if the last one with this label has ended, so dynamic programming (Viterbi) needs to know no more than the last tracklet
of each person. All evidence is in nats: the logarithm of how many times more likely one thing is than the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.faces.portrait import Portrait
from dualface_core.tables.labels import Person
from dualface_core.tracking.tracklets import Tracklet, center, size

_OTHER: Final = 2
"""The label of nobody; 0 and 1 are the persons."""

_TWO_PEOPLE: Final = (0.17, 0.10)
_ONE_PERSON: Final = (0.40, 0.14)
_ONE_PERSON_CLEARER: Final = 0.30
"""Mean and standard deviation of the cosine of two people's tracklets and of one person's in two shots, and by how much
the latter's mean is higher where both are as clear as can be: from tracklets of edited interviews, films and series
whose people were told apart by eye. Both are as likely at 0.363, SFace's own threshold, for quality 0.6."""

_LIKE_PORTRAIT: Final = 0.363
"""Cosine with a portrait from which on a group of tracklets is its person: SFace's own threshold."""

_CLEAR: Final = 2.0
"""Clear face crops from which on the looks of a group of tracklets are beyond doubt."""

_DISTINCT: Final = -1.0
"""Nats that two who are never seen together are one person, below which they are two. What lies between this and 0 is
one person, now from the front and now in profile."""

_APART: Final = 0.7
"""Face sizes between the centers of two faces that are seen at once; nearer ones may be one face, detected twice."""

_SOMEBODY: Final = 0.5
"""Clear face crops that any person needs; less is a false detection. A video of less than a second has few, and needs
its share, which counts as `_LEAST_SHARE` at least."""

_LEAST_SHARE: Final = 0.2

_FACE_SCORE: Final = 0.72
_FACE_SHARPNESS: Final = 25.0
_MOST_AGAINST: Final = 4.0
"""Median score of a tracklet's detections below which it is likely to be no face (a hand, a pattern): so many nats per
unit of score, and so many at the most. Faces make 0.8 to 0.95, also small and turned ones; false detections 0.5 to
0.7."""

_CHANGED: Final = 0.25
"""Cosine of a tracklet's face crops before and after a moment, below which it shows two people."""

_CHANGED_CLEARLY: Final = 1.0
"""Clear face crops before and after that moment that this needs."""

_NOBODY: Final = 0.5
"""Nats for being nobody, if nothing else is known."""

_PLACE: Final = 1.5
"""Nats for a label where the tracklets of the same shot that have it are at this place and of this size, and against it
where they are elsewhere."""

_ATTIRE: Final = 1.0
_ATTIRE_ALIKE: Final = 0.8
_ATTIRE_SPREAD: Final = 0.1
"""Nats for a label where hair and clothes are those of the tracklets of the same shot that have it, and against it
where they are not; how alike they are where they say nothing, and by how much more or less they say nearly all. In
edited interviews and series, one person's make 0.75 to 0.95 within a shot, two people's 0.4 to 0.75."""

_ANCHORS: Final = 50
"""Tracklets of a shot, the clearest, whose places count for that."""

_SAMPLED: Final = 5
"""Places of a tracklet that are compared."""

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

_CROWD: Final = 2.0
_COMPARABLE: Final = 0.6
_WITH_THE_OTHER: Final = 0.5
"""Other faces beside somebody, on average over the time, from which on they are one of many; how large a face must be
for that, by theirs; and the share of the time below which they are not with the other person. An audience is both."""

_BRIEF: Final = 0.2
"""Share of the first person's presence below which somebody who isn't with them is no second one, but an insert."""

_ROUNDS: Final = 10


@dataclass(frozen=True)
class EmbeddedTracklet:
    """A tracklet and what the face looks like.

    Attributes:
        tracklet: where it is, and when.
        embedding: (128,) float32 of length 1, the mean over its clear face crops.
        weight: how many clear face crops that is worth; a blurred or turned face counts for less than one.
        quality: 0..1, how clear they are on average.
        attire: of hair and clothes, see `faces.attire`.
    """

    tracklet: Tracklet
    embedding: NDArray[np.float32]
    weight: float
    quality: float
    attire: NDArray[np.float32]

    @property
    def seconds(self) -> float:
        """How long it lasts; a single look counts as a tenth of a second."""
        return self.tracklet.times[-1] - self.tracklet.times[0] + 0.1

    @property
    def presence(self) -> float:
        """How much of the video is about this face: seconds times size in pixels, less for one that is hardly seen.

        Somebody in focus who faces the camera counts for about twice as much as somebody in profile.
        """
        return self.seconds * self.face * math.sqrt(self.quality)

    @property
    def face(self) -> float:
        """The size of the face, in pixels."""
        return float(np.mean([size(box) for box in self.tracklet.boxes]))

    @property
    def clarity(self) -> float:
        """0..1: how far its looks can be relied on."""
        return min(1.0, self.weight)

    @property
    def doubt(self) -> float:
        """Nats against its being a face at all; 0 for most."""
        score = float(np.median(self.tracklet.scores))
        return min(max(_FACE_SHARPNESS * (_FACE_SCORE - score), 0.0), _MOST_AGAINST)


def split(
    tracklet: Tracklet,
    *,
    times: NDArray[np.float64],
    embeddings: NDArray[np.float32],
    quality: NDArray[np.float64],
    attire: NDArray[np.float32],
) -> list[EmbeddedTracklet]:
    """Describe a tracklet by its face crops; where they show two people after all, as two tracklets.

    That happens where one person takes the other's place unnoticed, as in a dissolve.
    When exactly is not known, so what lies between the last crop of the one and the first of the other is left out.

    Args:
        tracklet: the detections.
        times: (n,) of the face crops, ascending, in seconds.
        embeddings: (n, 128), of length 1.
        quality: (n,) above 0, how much each face crop says.
        attire: (n, `COLORS`) of hair and clothes.
    """
    weighted = quality[:, None] * embeddings
    before, after = np.cumsum(weighted, axis=0)[:-1], np.cumsum(weighted[::-1], axis=0)[-2::-1]
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    weight = np.cumsum(quality)[:-1]
    clear = np.minimum(weight, quality.sum() - weight) >= _CHANGED_CLEARLY
    alike = np.where(clear, np.sum(before * after, axis=1) / np.maximum(lengths, 1e-9), 1.0)
    if np.min(alike, initial=1.0) < _CHANGED:
        at = int(np.argmin(alike)) + 1
        parts = (
            (tracklet.part(-np.inf, times[at - 1]), slice(None, at)),
            (tracklet.part(times[at], np.inf), slice(at, None)),
        )
        return [
            item
            for part, crops in parts
            for item in split(
                part, times=times[crops], embeddings=embeddings[crops], quality=quality[crops], attire=attire[crops]
            )
        ]
    mean = weighted.sum(axis=0)
    embedding = np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)
    return [EmbeddedTracklet(tracklet, embedding, float(quality.sum()), float(quality.mean()), attire.mean(axis=0))]


@dataclass(frozen=True)
class Labeling:
    """Who is who.

    Attributes:
        people: the persons that there are: none, A, or A and B.
        persons: the person of every tracklet, or None for nobody.
        margins: for every tracklet of a person, how many nats worse everything would be if it were the other person
            or nobody; None for nobody's.
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


def identify(
    embedded: Sequence[EmbeddedTracklet], length: float = math.inf, *, person_a: Portrait | None = None
) -> Labeling:
    """Label the tracklets of a whole video of so many seconds, given in the order of their first frames.

    `person_a` says who is called A. Raises PortraitError if nobody is like it.
    """
    if not embedded:
        return Labeling((), (), (), {})
    people = _people(embedded, length, person_a)
    shots = _shots(embedded)
    labels = [_OTHER] * len(embedded)
    margins: list[float] = []
    scene = np.zeros((len(embedded), 3))
    for _ in range(_ROUNDS):
        before = labels
        labels, margins = _most_likely(embedded, _label_costs(embedded, people) - scene)
        if labels == before:
            break
        people = _refined(embedded, labels, people)
        scene = _scene_evidence(embedded, labels, shots)
    names = _names(embedded, labels) if person_a is None else dict(enumerate(Person))
    names = {label: name for label, name in names.items() if label in labels}
    return Labeling(
        people=tuple(sorted(names.values())),
        persons=tuple(names.get(label) for label in labels),
        margins=tuple(margin if label in names else None for label, margin in zip(labels, margins, strict=True)),
        prototypes={name: people.persons[label] for label, name in sorted(names.items(), key=lambda item: item[1])},
    )


def same_person(cosines: NDArray[np.float64], quality: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Nats that faces are one person's and not two people's, from the cosines of their embeddings.

    `quality`, 0..1, is that of the less clear one of the two: the less clear, the less alike one person's faces are.
    """
    (two, two_deviation), (least, one_deviation) = _TWO_PEOPLE, _ONE_PERSON
    one = least + _ONE_PERSON_CLEARER * np.asarray(quality)
    likelihoods = ((cosines - two) / two_deviation) ** 2 - ((cosines - one) / one_deviation) ** 2
    return np.asarray(likelihoods / 2 + math.log(two_deviation / one_deviation), np.float64)


def _people(embedded: Sequence[EmbeddedTracklet], length: float, person_a: Portrait | None = None) -> _People:
    """Cluster the tracklets by average linkage, never joining two that are seen together, and choose the persons.

    Raises PortraitError if there are people, but none is like `person_a`.
    """
    ranked = sorted(embedded, key=lambda item: -item.presence)[:_CLUSTERED]
    means = np.array([item.embedding for item in ranked], np.float64)
    weight = np.array([item.weight for item in ranked])
    quality = np.array([item.quality for item in ranked])
    seconds = np.array([item.seconds for item in ranked])
    doubt = np.array([item.doubt for item in ranked])
    presence = np.array([item.presence for item in ranked])
    together = np.array([[_seen_together(a.tracklet, b.tracklet) for b in ranked] for a in ranked])
    alive = np.ones(len(ranked), bool)
    members = np.arange(len(ranked))
    while True:
        # The mean cosine between the members of two clusters is the product of the clusters' mean vectors.
        alike = same_person(means @ means.T, np.minimum(quality, quality[:, None]))
        alike[together | ~alive | ~alive[:, None]] = -np.inf
        np.fill_diagonal(alike, -np.inf)
        kept, merged = np.unravel_index(np.argmax(alike), alike.shape)
        if alike[kept, merged] < 0:
            break
        for values, shares in ((means, weight), (quality, weight), (doubt, seconds)):
            pair = shares[[kept, merged]]
            values[kept] = pair / pair.sum() @ values[[kept, merged]]
        for total in (weight, seconds, presence):
            total[kept] += total[merged]
        together[kept] |= together[merged]
        together[:, kept] |= together[:, merged]
        alive[merged] = False
        members[members == merged] = kept
    prototypes = means / np.linalg.norm(means, axis=1, keepdims=True)
    shortest = min(_SHORTEST_PRESENCE, _SHORTEST_SHARE * length)
    enough = _SOMEBODY * min(1.0, max(_LEAST_SHARE, length))

    def is_new(cluster: int, known: list[int]) -> bool:
        """Whether a cluster is somebody, and none of the people known."""
        somebody = seconds[cluster] >= shortest and weight[cluster] >= enough and doubt[cluster] < -_DISTINCT
        alike = same_person(prototypes[known] @ prototypes[cluster], np.minimum(quality[known], quality[cluster]))
        distinct = alike * np.minimum(1, np.minimum(weight[known], weight[cluster]) / _CLEAR) < _DISTINCT
        return bool(somebody and np.all(together[cluster, known] | distinct))

    def onlooker(cluster: int, first: int) -> bool:
        """Whether a cluster is one of many or a brief insert, most of the time without the first person."""
        own, main = ([ranked[item] for item in np.flatnonzero(members == each)] for each in (cluster, first))
        least = _COMPARABLE * float(np.mean([item.face for item in own]))
        others = [
            item
            for item, member in zip(ranked, members, strict=True)
            if member not in (cluster, first) and item.doubt < -_DISTINCT and item.face >= least
        ]
        brief = presence[cluster] < _BRIEF * presence[first]
        return _beside(own, main) < _WITH_THE_OTHER and bool(brief or _beside(own, others) >= _CROWD)

    clusters = sorted(np.flatnonzero(alive).tolist(), key=lambda cluster: -presence[cluster])
    if person_a is not None and (people := [cluster for cluster in clusters if is_new(cluster, [])]):
        cosines = prototypes[people] @ person_a.embedding
        if np.max(cosines) < _LIKE_PORTRAIT:
            raise person_a.unlike(float(np.max(cosines)), _LIKE_PORTRAIT)
        first = people[int(np.argmax(cosines))]
        clusters = [first, *(cluster for cluster in clusters if cluster != first)]
    known: list[int] = []
    for cluster in clusters:
        if is_new(cluster, known):
            known.append(cluster)
    second = next((cluster for cluster in known[1:] if not onlooker(cluster, known[0])), None)
    persons = [*known[:1], *([] if second is None else [second])]
    return _People(prototypes[persons], prototypes[[cluster for cluster in known if cluster not in persons]])


def _beside(own: Sequence[EmbeddedTracklet], others: Sequence[EmbeddedTracklet]) -> float:
    """How many of some others are seen beside somebody, on average over their time."""
    seconds = 0.0
    for one in own:
        for other in others:
            begin, end = (pick(one.tracklet.times[at], other.tracklet.times[at]) for pick, at in ((max, 0), (min, -1)))
            seconds += max(0.0, end - begin)
    return seconds / sum(one.seconds for one in own)


def _seen_together(one: Tracklet, other: Tracklet) -> bool:
    """Whether two faces are in the frame at the same time, at different places."""
    begin, end = max(one.times[0], other.times[0]), min(one.times[-1], other.times[-1])
    if one is other or begin > end:
        return False
    middle = (begin + end) / 2
    apart = np.linalg.norm(one.position(middle) - other.position(middle))
    return bool(apart > _APART * (size(one.boxes[0]) + size(other.boxes[0])) / 2)


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
    """(tracklets, 3): how unlikely A, B and nobody are by looks and by detection alone, in nats."""
    embeddings = np.array([item.embedding for item in embedded], np.float64)
    quality = np.array([item.quality for item in embedded])[:, None]
    clarity = np.array([item.clarity for item in embedded])
    persons = same_person(embeddings @ people.persons.T, quality)
    strangers = same_person(embeddings @ people.strangers.T, quality)
    costs = np.full((len(embedded), 3), np.inf)
    costs[:, : len(people.persons)] = np.array([[item.doubt] for item in embedded]) - clarity[:, None] * persons
    costs[:, _OTHER] = -_NOBODY - clarity * np.max(strangers, axis=1, initial=0)
    return costs


@dataclass(frozen=True)
class _Shot:
    """The tracklets of one shot.

    Attributes:
        members: (n,) their numbers.
        anchors: (m,) the numbers of those that show most clearly who they are.
        near: (n, m) 0..1, how near in place and size a member is to an anchor; 0 for itself.
        alike: (n, m) 0..1, how alike their hair and clothes are; `_ATTIRE_ALIKE` where they cannot be seen.
    """

    members: NDArray[np.intp]
    anchors: NDArray[np.intp]
    near: NDArray[np.float64]
    alike: NDArray[np.float64]


def _shots(embedded: Sequence[EmbeddedTracklet]) -> list[_Shot]:
    """The shots that have more than one tracklet."""
    by_shot: dict[int, list[int]] = {}
    for number, item in enumerate(embedded):
        by_shot.setdefault(item.tracklet.shot, []).append(number)
    shots = []
    for members in by_shot.values():
        if len(members) > 1:
            anchors = np.array(sorted(members, key=lambda number: -embedded[number].weight)[:_ANCHORS])
            places = np.array([_places(embedded[number].tracklet) for number in members])
            near = np.stack([_nearness(places, _places(embedded[anchor].tracklet)) for anchor in anchors], axis=1)
            near[np.array(members)[:, None] == anchors] = 0
            attire, others = (np.array([embedded[each].attire for each in some], float) for some in (members, anchors))
            known = np.linalg.norm(attire, axis=1)[:, None] * np.linalg.norm(others, axis=1)
            shots.append(_Shot(np.array(members), anchors, near, attire @ others.T + (1 - known) * _ATTIRE_ALIKE))
    return shots


def _places(tracklet: Tracklet) -> NDArray[np.float64]:
    """(`_SAMPLED`, 3) of the center and the size at some of its detections, in pixels."""
    some = np.linspace(0, len(tracklet.boxes) - 1, _SAMPLED).round().astype(int)
    return np.array([[*center(tracklet.boxes[row]), size(tracklet.boxes[row])] for row in some])


def _nearness(places: NDArray[np.float64], anchor: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) for (n, `_SAMPLED`, 3): 1 where an anchor was with this size; near 0 two face sizes or a factor of 2 off."""
    sizes = places[:, :, None, 2]
    aside = np.sum((places[:, :, None, :2] - anchor[:, :2]) ** 2, axis=3) / (sizes * anchor[:, 2])
    return np.asarray(np.exp(-np.min(aside + (3 * np.log(sizes / anchor[:, 2])) ** 2, axis=(1, 2)) / 2))


def _scene_evidence(
    embedded: Sequence[EmbeddedTracklet], labels: list[int], shots: Sequence[_Shot]
) -> NDArray[np.float64]:
    """(tracklets, 3): nats for A, B and nobody, from others of the same shot with these labels.

    That is, from where they are and from what they wear. Between shots the light may change: colors say nothing there.
    """
    evidence = np.zeros((len(embedded), 3))
    clarity = np.array([item.clarity for item in embedded])
    for shot in shots:
        others = shot.members[:, None] != shot.anchors
        for label in range(3):
            same = others & (np.array(labels)[shot.anchors] == label)
            relied = np.max(same * clarity[shot.anchors], axis=1)
            place = 2 * np.max(same * shot.near, axis=1) - 1
            colors = np.tanh((np.max(same * shot.alike, axis=1) - _ATTIRE_ALIKE) / _ATTIRE_SPREAD)
            evidence[shot.members, label] = relied * (_PLACE * place + _ATTIRE * colors)
    return evidence


_State = tuple[int | None, int | None]
"""The number of the last tracklet of each person, as far as it still matters."""


@dataclass(frozen=True)
class _Move:
    """One tracklet gets a label, which takes one state to the next at a cost."""

    state: _State
    label: int
    then: _State
    cost: float


def _most_likely(
    embedded: Sequence[EmbeddedTracklet], label_costs: NDArray[np.float64]
) -> tuple[list[int], list[float]]:
    """The labels with the least total cost, and for each tracklet by how much the best one with another label is worse.

    `label_costs` is (tracklets, 3), in nats; infinite where there is no such person.
    """
    steps, reached = _trellis(embedded, label_costs)
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
        otherwise = min(
            (so_far[move.state] + move.cost + ahead[move.then] for move in step if move.label != chosen.label),
            default=np.inf,
        )
        labels.append(chosen.label)
        margins.append(float(otherwise - best))
        state = chosen.then
    return labels, margins


def _trellis(
    embedded: Sequence[EmbeddedTracklet], label_costs: NDArray[np.float64]
) -> tuple[list[list[_Move]], list[dict[_State, float]]]:
    """All moves at every tracklet, and before each tracklet (and at the end) the least cost of every state."""
    steps: list[list[_Move]] = []
    reached: list[dict[_State, float]] = [{(None, None): 0.0}]
    for number, item in enumerate(embedded):
        recent = {last: embedded[last].tracklet for state in reached[-1] for last in state if last is not None}
        links = {
            earlier: _link_cost(last, item.tracklet)
            for earlier, last in recent.items()
            if _matters(last, item.tracklet)
        }
        moves = [
            move
            for state in reached[-1]
            for label in np.flatnonzero(np.isfinite(label_costs[number])).tolist()
            if (move := _move(state, number, label, float(label_costs[number, label]), links)) is not None
        ]
        after: dict[_State, float] = {}
        for move in moves:
            after[move.then] = min(after.get(move.then, np.inf), reached[-1][move.state] + move.cost)
        steps.append(moves)
        reached.append(after)
    return steps, reached


def _move(state: _State, number: int, label: int, label_cost: float, links: Mapping[int, float]) -> _Move | None:
    """Give tracklet `number` a label, or None if the label is taken by another one at the same time.

    `links` has the cost of being the next one after those earlier tracklets that matter to it.
    """
    # Long gone is as good as never seen: states that differ in nothing else become one.
    recent = [last if last in links else None for last in state]
    cost = label_cost
    if label != _OTHER:
        last = recent[label]
        cost += links[last] if last is not None else 0.0
        recent[label] = number
    return _Move(state, label, (recent[0], recent[1]), cost) if math.isfinite(cost) else None


def _matters(last: Tracklet, tracklet: Tracklet) -> bool:
    """Whether an earlier tracklet says anything about one that begins now."""
    return last.shot == tracklet.shot and tracklet.times[0] - last.times[-1] <= _CONTINUITY_SECONDS


def _link_cost(last: Tracklet, tracklet: Tracklet) -> float:
    """How unlikely it is, in nats, that somebody who was last seen there is next seen here; below 0 for likely.

    Infinite for two at the same time.
    """
    if last.frames[-1] >= tracklet.frames[0]:
        return math.inf
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
    return float(one.position(middle)[0] - other.position(middle)[0])
