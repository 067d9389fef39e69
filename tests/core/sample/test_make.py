from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from dualface_core.errors import OutputError, SettingsError
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader
from dualface_core.sample import make_sample
from dualface_core.sample.scenes import Actor, Scene
from dualface_core.sample.truth import SampleTruth, truth_path
from dualface_core.settings import Settings

SMALL: dict[str, Any] = {"width": 160, "height": 90, "seconds": 2, "fps": Fraction(10), "seed": 0}


@pytest.fixture
def make(clips: dict[str, Path], tmp_path: Path) -> Any:
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
    assert list(zip(rows["frame"], rows["pts"], strict=True)) == [frame for frame in frames for _ in Actor]
    assert rows["person"] == list(Actor) * len(frames)
    assert set(rows["shot"]) == ({0, 1, 2, 3} if scene is Scene.CUTS else {0})
    assert truth.metadata.frame_count == len(frames) == 20
    assert Fraction(truth.metadata.time_base) == probe(output).time_base


def test_the_same_arguments_make_the_same_files(make: Any) -> None:
    first, second, other = make("first.mp4"), make("second.mp4"), make("other.mp4", seed=1)
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()
    assert truth_path(first).read_bytes() == truth_path(second).read_bytes() != truth_path(other).read_bytes()


@pytest.mark.parametrize("fps", [Fraction(30_000, 1001), 7])
def test_any_frame_rate_is_kept_exactly(make: Any, fps: Fraction) -> None:
    video = probe(make(fps=fps))
    assert video.average_rate == fps
    assert video.frame_count == round(2 * fps)
    assert video.constant_rate
    truth = SampleTruth.read(truth_path(video.path))
    assert truth.table["pts"].to_pylist()[-1] * video.time_base == (video.frame_count - 1) / Fraction(fps)


def test_the_sound_is_as_long_as_the_picture(make: Any) -> None:
    video = probe(make(seconds=4.3))
    (audio,) = video.audio
    assert (audio.codec, audio.start) == ("aac", 0)
    assert video.duration == pytest.approx(4.3)
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
        ({"scene": "dance"}, "Unknown scene 'dance'. Choose one of: talk, cross, leave, cuts"),
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
