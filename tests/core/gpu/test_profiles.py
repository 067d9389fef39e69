from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualface_core.gpu.device import Gpu
from dualface_core.gpu.profiles import profile_for

GIB = 1 << 30


def card(name: str, gib: int, capability: tuple[int, int] | None) -> Gpu:
    return Gpu(0, "GPU-0", name, "580.0", memory_total=gib * GIB, compute_capability=capability)


RTX_5090 = card("NVIDIA GeForce RTX 5090", 32, (12, 0))
RTX_4060 = card("NVIDIA GeForce RTX 4060", 8, (8, 9))
H200 = card("NVIDIA H200", 141, (9, 0))
SMALL = card("NVIDIA GeForce RTX 3050", 4, (8, 6))


def test_four_videos_are_in_work_and_two_of_them_encode_on_a_consumer_card():
    profile = profile_for(RTX_4060, cores=16)
    assert (profile.sessions, profile.streams) == (2, 4)


def test_a_third_session_needs_a_third_engine():
    assert profile_for(RTX_5090, cores=16).sessions == 3


@pytest.mark.parametrize("gpu", [None, H200])
def test_without_nvenc_there_are_no_sessions_and_videos_share_the_cores(gpu):
    assert profile_for(gpu, cores=16).sessions == 0
    assert [profile_for(gpu, cores=cores).streams for cores in (1, 4, 8, 16, 64)] == [1, 1, 2, 4, 4]


def test_little_gpu_memory_means_fewer_videos_and_smaller_batches():
    small, large = profile_for(SMALL, cores=16), profile_for(RTX_4060, cores=16)
    assert small.streams < large.streams
    assert small.batch_size < large.batch_size


@pytest.mark.parametrize(
    ("gpu", "codec", "preset"),
    [
        (RTX_5090, "h264", "fast"),  # three engines at P5 give 951 frames a second, and 1,140 are wanted
        (RTX_5090, "hevc", "balanced"),  # 1,563
        (RTX_5090, "av1", "balanced"),  # 1,656
        (RTX_4060, "hevc", "fast"),
        (card("NVIDIA GeForce RTX 9999", 8, None), "h264", "fast"),
        (None, "h264", "fast"),
    ],
)
def test_the_better_preset_is_chosen_where_the_engines_are_fast_enough_for_it(gpu, codec, preset):
    assert profile_for(gpu, cores=16, codec=codec).preset == preset


@given(
    gpu=st.sampled_from([None, RTX_5090, RTX_4060, H200, SMALL, Gpu(0, "GPU-0", "a card", "580.0")]),
    cores=st.integers(1, 256),
    codec=st.sampled_from(["h264", "hevc", "av1"]),
)
def test_every_machine_gets_work_done_within_its_means(gpu, cores, codec):
    profile = profile_for(gpu, cores=cores, codec=codec)
    assert 0 <= profile.sessions <= 3
    assert 1 <= profile.streams <= 6
    assert profile.decode_threads >= 1
    assert profile.decode_threads * profile.streams <= cores or profile.decode_threads == 1
    if profile.memory is not None:
        assert profile.memory < gpu.memory_total


def test_settings_override_the_profile_value_by_value():
    profile = profile_for(RTX_4060, cores=16)
    changed = profile.overridden(sessions=1, preset="best", streams=None)
    assert (changed.sessions, changed.preset) == (1, "best")
    assert (changed.streams, changed.batch_size) == (profile.streams, profile.batch_size)
