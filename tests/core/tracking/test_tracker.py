from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.embedder import FaceEmbedder
from dualface_core.faces.portrait import Portrait
from dualface_core.faces.weights import WeightFiles
from dualface_core.media.color import ColorInfo
from dualface_core.media.frames import Frame
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader
from dualface_core.sample.truth import SampleTruth, truth_path
from dualface_core.tables.face_tracks import Box, FaceTracks
from dualface_core.tables.labels import Person
from dualface_core.tracking.observation import observe_frames
from dualface_core.tracking.parameters import TrackParameters
from dualface_core.tracking.tracker import FaceTracker
from tests.conftest import SampleClip


@cache
def models() -> tuple[FaceDetector, FaceEmbedder]:
    return FaceDetector(), FaceEmbedder()


def tracked(
    frames: Iterable[Frame], size: tuple[int, int], parameters: TrackParameters | None = None, **about: Any
) -> FaceTracks:
    parameters, about = (
        parameters or TrackParameters(),
        {"time_base": Fraction(1, 1000), "fingerprint": "0" * 64} | about,
    )
    detector, _ = models()
    tracker = FaceTracker(parameters, WeightFiles(), frame_size=size, **about)
    for seen in observe_frames(frames, parameters, detector):
        tracker.add(seen)
    return tracker.finish()


def track_clip(path: Path, parameters: TrackParameters | None = None) -> FaceTracks:
    video = probe(path)
    about = {"time_base": video.time_base, "fingerprint": video.fingerprint}
    with VideoReader(video, loop_filter=False) as reader:
        return tracked(reader, (video.width, video.height), parameters, **about)


@cache
def tracked_once(path: Path) -> FaceTracks:
    """The tracks of a clip, for all tests that only look at them."""
    return track_clip(path)


def retouched(path: Path, change: Callable[[int, np.ndarray], np.ndarray]) -> list[Frame]:
    """The frames of a video, with something done to each plane: `change(index, plane)`."""
    with VideoReader(probe(path)) as reader:
        return [
            Frame(n, 66 * n, 0.066 * n, tuple(change(n, plane) for plane in frame.planes), frame.color)
            for n, frame in enumerate(reader)
        ]


def gray_frames(count: int, size: tuple[int, int] = (320, 180)) -> list[Frame]:
    """Frames of an empty wall, 25 a second."""
    width, height = size
    luma = np.full((height, width), 120, np.uint8)
    chroma = np.full((height // 2, width // 2), 128, np.uint8)
    return [Frame(n, 40 * n, 0.04 * n, (luma, chroma, chroma), ColorInfo()) for n in range(count)]


def shares(tracks: FaceTracks, truth: SampleTruth) -> tuple[float, float]:
    """Of all people who are at least half visible, the share that has a row; of those, the share at the right place.

    A is whoever is on the left where both are first in the picture. A face is at the right place if its center lies in
    the region that this person was drawn in, and nearer to that region's middle than to the other person's.
    """
    drawn = truth.to_pandas().query("visible >= 0.5").astype({"person": str})
    drawn["middle"] = drawn["x"] + drawn["width"] / 2
    frames = drawn.groupby("frame")
    both = frames["person"].transform("size") == 2
    drawn["other"] = (frames["middle"].transform("sum") - drawn["middle"]).where(both)
    left, right = drawn[both].sort_values(["frame", "middle"])["person"].iloc[:2]
    drawn["person"] = drawn["person"].map({left: "A", right: "B"})
    found = drawn.merge(tracks.to_pandas().astype({"person": str}), on=["frame", "person"], suffixes=("", "_found"))
    x, y = found["x_found"] + found["width_found"] / 2, found["y_found"] + found["height_found"] / 2
    inside = x.between(found["x"], found["x"] + found["width"]) & y.between(found["y"], found["y"] + found["height"])
    correct = inside & ~((x - found["other"]).abs() < (x - found["middle"]).abs())
    return len(found) / len(drawn), correct.mean()


@pytest.mark.parametrize(
    ("scene", "seconds", "least_correct"), [("talk", 4, 1.0), ("cross", 4, 0.97), ("leave", 5, 0.99), ("cuts", 5, 0.99)]
)
def test_each_person_is_followed_through_a_scene(
    sample_clip: SampleClip, scene: str, seconds: float, least_correct: float
) -> None:
    path = sample_clip(scene, seconds=seconds)
    truth = SampleTruth.read(path.with_suffix(".truth.parquet"))
    tracks = tracked_once(path)
    found, correct = shares(tracks, truth)
    assert tracks.people == ["A", "B"]
    assert found >= 0.97
    assert correct >= least_correct
    assert [shot.first for shot in tracks.shots] == truth.to_pandas().groupby("shot")["frame"].min().tolist()


@pytest.mark.parametrize(("scene", "seconds"), [("apart", 5), ("behind", 8), ("look-alike", 5), ("third", 5)])
def test_everybody_has_their_own_name_and_strangers_have_none(
    sample_clip: SampleClip, scene: str, seconds: float
) -> None:
    path = sample_clip(scene, seconds=seconds)
    truth = SampleTruth.read(path.with_suffix(".truth.parquet"))
    protagonists = truth.metadata.people
    drawn = truth.to_pandas().query("visible > 0").astype({"person": str})
    named = track_clip(path).to_pandas().dropna(subset="person").astype({"person": str})
    both = named.merge(drawn, on="frame", suffixes=("", "_drawn"))
    x, y = both["x"] + both["width"] / 2, both["y"] + both["height"] / 2
    inside = x.between(both["x_drawn"], both["x_drawn"] + both["width_drawn"]) & y.between(
        both["y_drawn"], both["y_drawn"] + both["height_drawn"]
    )
    seen_as = both[inside].groupby(["person", "person_drawn"]).size().unstack(fill_value=0)
    whose = seen_as.idxmax(axis=1)
    assert sorted(whose) == sorted(protagonists)
    assert seen_as.max(axis=1).sum() >= 0.99 * len(named)
    there = drawn[drawn["person"].isin(protagonists) & (drawn["visible"] >= 0.5)]
    assert len(named) >= 0.98 * len(there)


def borders(box: Box) -> np.ndarray:
    """How far the sides of a box lie inwards: left, top, and right and bottom counted negatively."""
    x, y, width, height = box
    return np.array([x, y, -x - width, -y - height])


@pytest.mark.parametrize(("scene", "seconds"), [("wipe", 5), ("title", 5), ("letterbox", 3), ("grid", 2)])
def test_the_cuts_bars_and_boxes_of_a_made_scene_are_found(sample_clip: SampleClip, scene: str, seconds: float) -> None:
    path = sample_clip(scene, seconds=seconds)
    truth = SampleTruth.read(truth_path(path)).metadata
    tracks = track_clip(path)
    assert len(tracks.cuts) == len(truth.cuts)
    assert all(first <= cut <= last for cut, (first, last) in zip(tracks.cuts, truth.cuts, strict=True))
    for found, true in zip(tracks.shots, truth.shots, strict=True):
        if true.picture is not None:
            assert found.picture is not None
            inwards = borders(found.picture) - borders(true.picture)
            assert inwards.min() >= 0
            assert inwards.max() <= 3
        assert len(found.panes) == len(true.panes)
        for pane, true_pane in zip(found.panes, true.panes, strict=True):
            assert (borders(pane) >= borders(true_pane)).all()
            assert pane[2] * pane[3] >= 0.6 * true_pane[2] * true_pane[3]


def test_a_title_bar_over_people_who_go_on_is_no_cut(sample_clip: SampleClip) -> None:
    def title(index: int, plane: np.ndarray) -> np.ndarray:
        plane = plane.copy()
        height, width = plane.shape
        if index >= 20:
            plane[5 * height // 8 : -height // 8, width // 16 : -width // 16] = 230 if height == 360 else 128
        return plane

    path = sample_clip("talk")
    tracks = tracked(retouched(path, title), (640, 360))
    assert [shot.first for shot in tracks.shots] == [0]


def test_a_table_says_what_it_was_made_from(sample_clip: SampleClip, tmp_path: Path) -> None:
    path = sample_clip("talk")
    video = probe(path)
    tracks = tracked_once(path)
    metadata = tracks.metadata
    assert metadata.fingerprint == video.fingerprint
    assert tracks.frame_count == video.frame_count
    assert (metadata.frame_width, metadata.frame_height) == (video.width, video.height)
    assert set(metadata.model_sha256) == {"yunet", "sface"}
    assert metadata.parameters == TrackParameters().model_dump()
    assert metadata.prototypes == {}
    assert tracks.pts[tracks.table["frame"].to_numpy()].tolist() == tracks.table["pts"].to_pylist()
    tracks.write(tmp_path / "tracks.parquet")
    assert FaceTracks.read(tmp_path / "tracks.parquet").table.equals(tracks.table)


def test_people_are_followed_from_the_first_frame_to_the_last(sample_clip: SampleClip) -> None:
    tracks = tracked_once(sample_clip("talk"))
    rows = set(zip(tracks.table["frame"].to_pylist(), tracks.table["person"].to_pylist(), strict=True))
    frames = range(tracks.frame_count)
    assert rows == {(frame, person) for frame in frames for person in ("A", "B")}


def test_tracking_twice_gives_the_same_table(sample_clip: SampleClip) -> None:
    path = sample_clip("talk")
    assert track_clip(path).table.equals(tracked_once(path).table)


def test_a_portrait_says_who_is_a(sample_clip: SampleClip, tmp_path: Path) -> None:
    # The right half of the first frame.
    path = sample_clip("talk")
    with VideoReader(probe(path)) as reader:
        cv2.imwrite(str(tmp_path / "face.png"), next(iter(reader)).bgr()[:, 320:])
    about = {"time_base": probe(path).time_base, "person_a": Portrait.read(tmp_path / "face.png", *models())}
    with VideoReader(probe(path)) as reader:
        tracks = tracked(reader, (640, 360), **about)
    assert np.all(tracks.boxes(Person.A)[:, 0] > 320)
    assert np.all(tracks.boxes(Person.B)[:, 0] < 320)


def test_faces_are_looked_for_as_often_and_embeddings_kept_as_asked_for(sample_clip: SampleClip) -> None:
    tracks = track_clip(sample_clip("talk"), TrackParameters(detect_every=4, keep_prototypes=True))
    looked = sorted({row["frame"] for row in tracks.table.to_pylist() if row["source"] == "detected"})
    assert looked == [*range(0, 60, 4), 59]
    prototypes = tracks.metadata.prototypes
    assert set(prototypes) == {"A", "B"}
    assert np.linalg.norm(list(prototypes.values()), axis=1) == pytest.approx(1)
    assert np.dot(*prototypes.values()) < 0.3


def test_one_person_is_not_made_two(sample_clip: SampleClip) -> None:
    # The left half of the picture, where only one of the two talks.
    frames = retouched(sample_clip("talk"), lambda _, plane: plane[:, : plane.shape[1] // 2])
    tracks = tracked(frames, (320, 360))
    assert tracks.people == ["A"]
    assert set(tracks.table["person"].to_pylist()) == {"A"}
    assert len(tracks.table) == len(frames)


def test_people_who_swap_sides_in_a_dissolve_keep_their_names(sample_clip: SampleClip) -> None:
    # The picture dissolves into its mirror image, within a second.
    def dissolved(index: int, plane: np.ndarray) -> np.ndarray:
        share = min(max((index - 22) / 15, 0), 1)
        return cv2.addWeighted(plane, 1 - share, cv2.flip(plane, 1), share, 0)

    rows = tracked(retouched(sample_clip("talk"), dissolved), (640, 360)).table.to_pylist()
    middles = {(row["frame"], row["person"]): row["x"] + row["width"] / 2 for row in rows if row["person"] is not None}
    assert middles[0, "A"] < 320 < middles[0, "B"]
    assert middles[59, "A"] > 320 > middles[59, "B"]


def test_a_face_that_more_than_fills_the_picture_is_found(sample_clip: SampleClip) -> None:
    detector, _ = models()
    with VideoReader(probe(sample_clip("talk"))) as reader:
        frame = next(iter(reader))
    (faces,) = detector.detect(frame.bgr()[None], score_threshold=0.6)
    # From the eyebrows to the lips, as large as the whole picture.
    x, y, width, height = faces.boxes[0]
    side = round(0.3 * width) * 2
    left, top = (round(value / 2) * 2 for value in (x + 0.5 * width - side / 2, y + 0.55 * height - side / 2))
    luma, u, v = (
        cv2.resize(
            plane[top // step : (top + side) // step, left // step : (left + side) // step],
            (640 // step, 640 // step),
            interpolation=cv2.INTER_CUBIC,
        )
        for plane, step in zip(frame.planes, (1, 2, 2), strict=True)
    )
    close_up = [Frame(n, 40 * n, 0.04 * n, (luma, u, v), frame.color) for n in range(25)]
    (at_full_size,) = detector.detect(close_up[0].bgr()[None], score_threshold=0.6)
    assert len(at_full_size) == 0
    tracks = tracked(close_up, (640, 640))
    assert tracks.people == ["A"]
    assert len(tracks.table) == 25


@pytest.mark.parametrize("count", [0, 1, 40])
def test_a_video_without_faces_has_an_empty_table(count: int) -> None:
    tracks = tracked(gray_frames(count), (320, 180))
    assert len(tracks.table) == 0
    assert tracks.people == []
    assert [(shot.first, shot.last) for shot in tracks.shots] == ([(0, count - 1)] if count else [])


def test_two_frames_are_held_at_once() -> None:
    alive: set[int] = set()

    class Owner:
        """Counts itself, as the decoder's picture behind a frame would."""

        def __init__(self) -> None:
            alive.add(id(self))

        def __del__(self) -> None:
            alive.discard(id(self))

    def frames() -> Iterator[Frame]:
        for frame in gray_frames(100, size=(64, 64)):
            yield Frame(frame.index, frame.pts, frame.time, frame.planes, frame.color, Owner())

    detector, _ = models()
    held = [len(alive) for _ in observe_frames(frames(), TrackParameters(), detector)]
    assert max(held) <= 2
