from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualface_core.gpu.nvml import Gpu
from dualface_core.gpu.profiles import profile_for, profile_in_force
from dualface_core.settings import Settings
from dualface_core.system.machine_cores import machine_cores

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


def test_two_sessions_are_the_default_even_where_three_engines_would_have_work_for_more():
    assert profile_for(RTX_5090, cores=16).sessions == 2
    assert profile_for(RTX_5090, cores=16, sessions=3).sessions == 3
    assert profile_for(H200, cores=16, sessions=3).sessions == 0


@pytest.mark.parametrize("gpu", [None, H200])
def test_without_nvenc_there_are_no_sessions_and_videos_share_the_cores(gpu):
    assert profile_for(gpu, cores=16).sessions == 0
    assert [profile_for(gpu, cores=cores).streams for cores in (1, 4, 8, 16, 64)] == [1, 1, 2, 4, 4]


def test_little_gpu_memory_means_fewer_videos():
    small, large = profile_for(SMALL, cores=16), profile_for(RTX_4060, cores=16)
    assert small.streams < large.streams


@pytest.mark.parametrize(
    ("gpu", "codec", "sessions", "preset"),
    [
        (RTX_5090, "h264", 2, "fast"),  # two engines at P5 give 634 frames a second, and 1,140 are wanted
        (RTX_5090, "h264", 3, "fast"),  # 951
        (RTX_5090, "av1", 2, "fast"),  # 1,104
        (RTX_5090, "hevc", 3, "balanced"),  # 1,563
        (RTX_5090, "av1", 3, "balanced"),  # 1,656
        (RTX_4060, "hevc", 3, "fast"),
        (card("NVIDIA GeForce RTX 9999", 8, None), "h264", 2, "fast"),
        (None, "h264", 2, "fast"),
    ],
)
def test_the_better_preset_is_chosen_where_the_engines_are_fast_enough_for_it(gpu, codec, sessions, preset):
    assert profile_for(gpu, cores=16, codec=codec, sessions=sessions).preset == preset


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
    assert 1 <= profile.compose_threads <= 4
    assert 1 <= profile.encode_threads <= 8
    assert profile.encode_threads * profile.streams <= 1.5 * cores or profile.encode_threads == 1


def test_settings_override_what_they_name_and_nothing_else():
    suited = profile_in_force(Settings(), RTX_4060)
    assert suited == profile_for(RTX_4060, cores=machine_cores())
    assert profile_in_force(Settings(cores=40, streams=9, preset="best", nvenc_max_sessions=1), RTX_4060) == replace(
        profile_for(RTX_4060, cores=40, sessions=1, streams=9), preset="best"
    )
    assert profile_in_force(Settings(preset="best"), RTX_4060) == replace(suited, preset="best")


def test_a_video_that_is_alone_has_the_threads_of_the_whole_machine():
    alone, shared = profile_for(None, cores=16, streams=1), profile_for(None, cores=16, streams=4)
    assert (alone.streams, alone.compose_threads, alone.encode_threads) == (1, 4, 8)
    assert (shared.streams, shared.compose_threads, shared.encode_threads) == (4, 2, 6)
