from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualface_core.errors import OutputError, SettingsError
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader
from dualface_core.sample import make_sample
from dualface_core.sample.scenes import Scene, cast
from dualface_core.sample.truth import SampleTruth, truth_path
from dualface_core.settings import Settings

SMALL: dict[str, Any] = {"width": 160, "height": 90, "seconds": 2, "fps": Fraction(10), "seed": 0}

SHOTS = {
    Scene.CUTS: 4,
    Scene.SINGLES: 4,
    Scene.APART: 4,
    Scene.LETTERBOX: 4,
    Scene.WIPE: 4,
    Scene.CLOSE: 2,
    Scene.LOOK_ALIKE: 6,
    Scene.TITLE: 6,
}
"""Of a sample of two seconds; the others have one."""


@pytest.fixture
def make(clips: dict[str, Path], cut_out_once: None, tmp_path: Path) -> Any:
    def made(name: str = "sample.mp4", scene: str = "talk", **changes: Any) -> Path:
        output = tmp_path / name
        truth = make_sample(output, scene=scene, cache=Settings().cache, **(SMALL | changes))
        assert truth == truth_path(output)
        return output

    return made


@pytest.mark.parametrize("scene", Scene)
def test_truth_and_video_agree_frame_by_frame(make: Any, scene: Scene) -> None:
    output = make(scene=scene)
    with VideoReader(probe(output)) as reader:
        frames = [(frame.index, frame.pts) for frame in reader]
    truth = SampleTruth.read(truth_path(output))
    rows = truth.table.to_pydict()
    assert list(zip(rows["frame"], rows["pts"], strict=True)) == [frame for frame in frames for _ in cast(scene)]
    assert rows["person"] == list(cast(scene)) * len(frames)
    shots = [(shot.first, shot.last) for shot in truth.metadata.shots]
    assert [number for number, (first, last) in enumerate(shots) for _ in range(first, last + 1)] == [
        *rows["shot"][:: len(cast(scene))]
    ]
    assert len(shots) == SHOTS.get(scene, 1)
    assert [kinds.first for kinds in truth.metadata.allowed[1:]] == [k.last + 1 for k in truth.metadata.allowed[:-1]]
    assert truth.metadata.frame_count == len(frames) == 20
    assert Fraction(truth.metadata.time_base) == probe(output).time_base


@pytest.mark.parametrize("scene", [Scene.WIPE, Scene.TITLE])
def test_a_cut_is_where_the_picture_changes_and_a_fade_is_told_from_its_first_frame_to_its_last(
    make: Any, scene: Scene
) -> None:
    output = make(scene=scene, seconds=4)
    with VideoReader(probe(output)) as reader:
        luma = np.stack([frame.luma(32, 18) for frame in reader]).astype(int)
    changed = np.flatnonzero(np.abs(np.diff(luma, axis=0)).mean(axis=(1, 2)) > 2) + 1
    cuts = SampleTruth.read(truth_path(output)).metadata.cuts
    frames = {frame for first, last in cuts for frame in range(first, last + 1)}
    assert set(changed.tolist()) <= frames
    assert all(any(first <= frame <= last for frame in changed) for first, last in cuts)
    assert any(first < last for first, last in cuts) == (scene is Scene.WIPE)


@pytest.mark.parametrize(
    ("scene", "seed"), [(Scene.LETTERBOX, 0), (Scene.LETTERBOX, 2), (Scene.GRID, 0), (Scene.GRID, 2)]
)
def test_bars_and_panes_are_where_the_picture_is_black_and_is_not(make: Any, scene: Scene, seed: int) -> None:
    output = make(scene=scene, seed=seed, width=320, height=180, seconds=1)
    with VideoReader(probe(output)) as reader:
        luma = next(iter(reader)).planes[0].astype(int)
    shot = SampleTruth.read(truth_path(output)).metadata.shots[0]
    boxes = shot.panes or [shot.picture]
    inside = np.zeros(luma.shape, bool)
    for x, y, width, height in np.array(boxes, int):
        inside[y : y + height, x : x + width] = True
    assert 0.4 < inside.mean() < 0.9
    banner = np.zeros_like(inside)
    if len(boxes) == 2:
        banner[180 * 3 // 4 : 180 * 9 // 10] = True
    assert np.percentile(luma[~inside & ~banner], 95) < 24
    assert np.percentile(luma[inside], 10) > 28


def test_the_same_arguments_make_the_same_files(make: Any) -> None:
    first, second, other = make("first.mp4"), make("second.mp4"), make("other.mp4", seed=1)
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()
    assert truth_path(first).read_bytes() == truth_path(second).read_bytes() != truth_path(other).read_bytes()


@pytest.mark.parametrize("fps", [Fraction(30_000, 1001), 7])
def test_any_frame_rate_is_kept_exactly(make: Any, fps: Fraction) -> None:
    video = probe(make(fps=fps, seconds=1))
    assert video.average_rate == fps
    assert video.frame_count == round(fps)
    assert video.constant_rate
    truth = SampleTruth.read(truth_path(video.path))
    assert truth.table["pts"].to_pylist()[-1] * video.time_base == (video.frame_count - 1) / Fraction(fps)


def test_the_sound_is_as_long_as_the_picture(make: Any) -> None:
    video = probe(make(seconds=1.3))
    (audio,) = video.audio
    assert (audio.codec, audio.start) == ("aac", 0)
    assert video.duration == pytest.approx(1.3)
    assert 0 <= audio.duration - video.duration <= 1024 / audio.sample_rate


def test_a_sample_that_is_broken_off_leaves_nothing_behind(make: Any, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        assert total == 20
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(progress=interrupt)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"scene": "dance"}, "Unknown scene 'dance'. Choose one of: talk, cross, leave, cuts, singles"),
        ({"width": 161}, "161x90 is not possible. Both must be even"),
        ({"height": 20}, "160x20 is not possible"),
        ({"seconds": 0.1}, "It must last 1 at least"),
        ({"seconds": float("nan")}, "nan seconds is not possible"),
        ({"fps": Fraction(1, 2)}, "1/2 frames per second is not possible"),
    ],
)
def test_what_cannot_be_made_is_said(make: Any, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        make(**changes)


def test_a_missing_folder_is_said_before_any_work(make: Any) -> None:
    done: list[int] = []
    with pytest.raises(OutputError, match="its folder does not exist"):
        make("missing/sample.mp4", progress=lambda frame, _: done.append(frame))
    assert not done
