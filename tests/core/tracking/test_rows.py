from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tracking.heads import HeadPath
from dualface_core.tracking.identities import EmbeddedTracklet, Labeling
from dualface_core.tracking.rows import face_rows
from dualface_core.tracking.tracklets import LONGEST_GAP, Tracklet

TIMES = np.cumsum([0, *np.random.default_rng(0).choice([1 / 30, 1 / 15], 199)])
"""Times of 200 frames at no constant rate."""

PTS = np.round(TIMES * 1000).astype(np.int64)


def item(number: int, boxes: dict[int, Sequence[float]], *, shot: int = 0) -> EmbeddedTracklet:
    """A tracklet with a detection at some frames: x, y, width, height by frame number."""
    tracklet = Tracklet(number, shot)
    tracklet.frames = list(boxes)
    tracklet.times = TIMES[list(boxes)].tolist()
    tracklet.boxes = [np.float32(box) for box in boxes.values()]
    tracklet.landmarks = [np.tile(box[:2], (5, 1)).astype(np.float32) for box in tracklet.boxes]
    tracklet.scores = [0.9] * len(boxes)
    return EmbeddedTracklet(tracklet, np.zeros(128, np.float32), 1.0, 1.0, np.zeros(1, np.float32))


def rows_of(
    embedded: list[EmbeddedTracklet],
    persons: Sequence[str | None],
    margins: Sequence[float | None],
    heads: Sequence[tuple[HeadPath, HeadPath]] = (),
) -> pa.Table:
    people = tuple(sorted({person for person in persons if person}))
    still = [(HeadPath.at(item.tracklet, 0), HeadPath.at(item.tracklet, -1)) for item in embedded]
    return face_rows(embedded, Labeling(people, tuple(persons), tuple(margins), {}), heads or still, PTS, TIMES)


def test_faces_between_two_detections_are_interpolated_in_time() -> None:
    table = rows_of([item(3, {10: (0, 0, 50, 60), 14: (100, 40, 50, 80)})], ["A"], [None])
    assert table.schema == FaceTracks.SCHEMA
    columns = table.to_pydict()
    assert columns["frame"] == [10, 11, 12, 13, 14]
    assert columns["pts"] == PTS[10:15].tolist()
    assert columns["time"] == TIMES[10:15].tolist()
    assert columns["source"] == ["detected", *["interpolated"] * 3, "detected"]
    share = (TIMES[10:15] - TIMES[10]) / (TIMES[14] - TIMES[10])
    assert columns["x"] == pytest.approx(100 * share)
    assert columns["height"] == pytest.approx(60 + 20 * share)
    assert [landmarks[9] for landmarks in columns["landmarks"]] == pytest.approx(40 * share)
    assert columns["person"] == ["A"] * 5
    assert columns["identity_margin"] == [None] * 5


def test_a_short_gap_between_two_tracklets_of_a_person_is_bridged() -> None:
    embedded = [item(0, {0: (0, 0, 50, 50), 2: (0, 0, 50, 50)}), item(1, {6: (40, 0, 50, 50)})]
    columns = rows_of(embedded, ["B", "B"], [5.0, 2.0]).to_pydict()
    assert columns["frame"] == [0, 1, 2, 3, 4, 5, 6]
    assert columns["tracklet"] == [0, 0, 0, 0, 0, 0, 1]
    assert columns["source"][3:6] == ["interpolated"] * 3
    assert columns["identity_margin"] == [5, 5, 5, 2, 2, 2, 2]
    assert 0 < columns["x"][3] < columns["x"][4] < columns["x"][5] < 40


@pytest.mark.parametrize(
    ("second", "persons"),
    [
        (item(1, {6: (40, 0, 50, 50)}), ["A", "B"]),
        (item(1, {6: (40, 0, 50, 50)}), [None, None]),
        (item(1, {6: (40, 0, 50, 50)}, shot=1), ["A", "A"]),
        (item(1, {30: (40, 0, 50, 50)}), ["A", "A"]),
    ],
    ids=["another person", "strangers", "another shot", "a long gap"],
)
def test_other_gaps_stay_gaps(second: EmbeddedTracklet, persons: list[str | None]) -> None:
    table = rows_of([item(0, {0: (0, 0, 50, 50)}), second], persons, [None, None])
    assert table["frame"].to_pylist() == [0, second.tracklet.frames[0]]
    assert table["person"].to_pylist() == persons


def test_nobody_makes_an_empty_table() -> None:
    table = rows_of([], [], [])
    assert table.schema == FaceTracks.SCHEMA
    assert len(table) == 0


tracklets = st.lists(
    st.tuples(
        st.integers(1, 20), st.lists(st.integers(1, 5), min_size=0, max_size=5), st.sampled_from(["A", "B", None])
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(tracklets=tracklets, seed=st.integers(0, 1000))
def test_rows_stay_within_what_was_detected(tracklets: list[tuple[int, list[int], str | None]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    embedded, persons = [], []
    frame = 0
    for number, (pause, steps, person) in enumerate(tracklets):
        frame += pause
        frames = np.cumsum([frame, *steps]).tolist()
        frame = frames[-1]
        embedded.append(item(number, {f: rng.uniform(1, 100, 4) for f in frames}))
        persons.append(person)
    rows = rows_of(embedded, persons, [1.0] * len(persons)).to_pylist()
    assert [(row["frame"], row["tracklet"]) for row in rows] == sorted((row["frame"], row["tracklet"]) for row in rows)
    labeled = [(row["frame"], row["person"]) for row in rows if row["person"]]
    assert len(labeled) == len(set(labeled))
    detected = {row["frame"]: row["person"] for row in rows if row["source"] == "detected"}
    assert detected == {f: person for s, person in zip(embedded, persons, strict=True) for f in s.tracklet.frames}
    for row in rows:
        before = max((f for f in detected if f <= row["frame"] and detected[f] == row["person"]), default=None)
        after = min((f for f in detected if f >= row["frame"] and detected[f] == row["person"]), default=None)
        assert before is not None
        assert after is not None
        if row["source"] == "interpolated" and TIMES[after] - TIMES[before] > LONGEST_GAP:
            # Only within a tracklet: the linker ends those at a gap, where looks are frequent.
            assert any({before, after} <= set(s.tracklet.frames) for s in embedded)
    for name in ("x", "y", "width", "height"):
        values = [row[name] for row in rows if row["source"] == "detected"]
        assert all(min(values) <= row[name] <= max(values) for row in rows)


def test_a_head_is_followed_between_and_after_faces() -> None:
    embedded = [item(0, {10: (0, 0, 50, 50)}), item(1, {60: (100, 0, 50, 50)})]
    still = [HeadPath.at(each.tracklet, 0) for each in embedded]
    boxes = np.array([[0, 0, 50, 50], [20, 0, 50, 50], [50, 0, 60, 60.0]])
    on = HeadPath(np.array([10, 20, 30]), boxes)
    columns = rows_of(embedded, ["A", "A"], [5.0, 2.0], [(still[0], on), (still[1], still[1])]).to_pydict()
    assert columns["frame"] == [*range(10, 31), 60]
    assert columns["source"] == ["detected", *["followed"] * 20, "detected"]
    assert columns["score"][1:21] == pytest.approx([0.45] * 20)
    assert columns["tracklet"][:21] == [0] * 21
    # The landmarks move and grow with the box: here, they are its corner.
    assert columns["landmarks"][20] == pytest.approx([50, 0] * 5)


def test_nobody_is_followed() -> None:
    embedded = [item(0, {10: (0, 0, 50, 50)})]
    on = HeadPath(np.array([10, 20]), np.array([[0, 0, 50, 50], [20, 0, 50, 50.0]]))
    assert rows_of(embedded, [None], [None], [(on, on)])["frame"].to_pylist() == [10]
