from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dualface_core.encoding.failures import FailureClass
from dualface_core.encoding.sessions import NvencSessions
from dualface_core.gpu.nvml import Gpu, GpuLoad, find_gpus, load_reader, nvdec_ability, nvenc_ability
from dualface_core.system.child_processes import environment
from tests.nvenc_emulator import Card, EmulatedDriver

PROCESS = Path(__file__).with_name("gpu_process.py")


def ask(driver: EmulatedDriver, question: str, folder: Path):
    """What a process on the emulated host finds out."""
    return json.loads(driver.python(PROCESS, question, folder).stdout)


def has_driver() -> bool:
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


without_driver = pytest.mark.skipif(has_driver(), reason="an NVIDIA driver is here")


@without_driver
def test_a_machine_without_a_driver_is_an_answer_and_no_error(tmp_path):
    inventory = find_gpus()
    assert (inventory.gpus, inventory.driver) == ((), None)
    assert "no NVIDIA driver" in inventory.problem
    ability = nvenc_ability("h264", gpu=None, cache=tmp_path, sessions=NvencSessions(tmp_path / "run", gpu=0))
    assert (ability.available, ability.failure) == (False, FailureClass.NO_DRIVER)
    assert "install driver 570" in ability.reason
    assert nvdec_ability("h264", gpu=None, cache=tmp_path).failure is FailureClass.NO_DRIVER
    with load_reader(None) as load:
        assert load() == GpuLoad()


def test_a_card_is_described_by_what_nvml_says(emulated_driver, tmp_path):
    inventory = ask(emulated_driver(), "gpus", tmp_path)
    assert inventory["problem"] is None
    (gpu,) = inventory["gpus"]
    assert gpu["uuid"].startswith("GPU-")
    assert gpu["memory_total"] == 8 << 30
    assert gpu["driver"] == inventory["driver"] == "570.0"
    assert Gpu(**gpu | {"compute_capability": tuple(gpu["compute_capability"])}).generation == "Ada"


@pytest.mark.parametrize("card", [Card.NO_DEVICE, Card.ZERO_DEVICES])
def test_a_driver_without_a_card_says_why_there_is_none(emulated_driver, tmp_path, card):
    inventory = ask(emulated_driver(card=card), "gpus", tmp_path)
    assert inventory["gpus"] == []
    assert "driver" in inventory["problem"]


def test_a_driver_without_nvml_is_a_driver_and_may_encode(emulated_driver, tmp_path):
    driver = emulated_driver(card=Card.NO_NVML)
    assert ask(driver, "gpus", tmp_path)["problem"].startswith("The NVIDIA driver is here without NVML")
    assert ask(driver, "nvenc", tmp_path)["available"]


def test_a_trial_that_hangs_outlives_no_parent_and_keeps_no_session(emulated_driver, tmp_path):
    driver = emulated_driver(fault="hang@InitializeEncoder")
    command = [sys.executable, str(PROCESS), "nvenc", str(tmp_path)]
    parent = subprocess.Popen(command, env=os.environ | driver.environment())
    driver.wait_for(lambda events: any(event.name == "fault" for event in events))
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 50  # a trial that is left alone ends after 60 s at the earliest
    while driver.open_now():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_picture_that_went_through_nvenc_is_the_proof_and_takes_a_slot(emulated_driver, tmp_path):
    driver = emulated_driver()
    answer = ask(driver, "nvenc", tmp_path)
    assert answer["available"]
    assert answer["opened"] == 1
    assert [event.name for event in driver.events()] == ["opened", "configured", "picture", "closed"]


def test_a_good_answer_is_remembered_until_the_driver_changes(emulated_driver, tmp_path):
    driver = emulated_driver()
    ask(driver, "nvenc", tmp_path)
    seen = driver.events()
    assert ask(driver, "nvenc", tmp_path)["available"]
    assert driver.events() == seen
    answer = ask(emulated_driver(card=Card.OLD_DRIVER), "nvenc", tmp_path)
    assert (answer["available"], answer["failure"]) == (False, "old-driver")


def test_a_damaged_answer_is_found_out_again(emulated_driver, tmp_path):
    driver = emulated_driver()
    ask(driver, "nvenc", tmp_path)
    (remembered,) = (tmp_path / "cache" / "gpu").iterdir()
    remembered.write_text("{")
    assert ask(driver, "nvenc", tmp_path)["available"]
    assert [event.name for event in driver.events()].count("opened") == 2


@pytest.mark.parametrize(
    ("settings", "failure", "remembered"),
    [
        ({"card": Card.NO_ENCODER}, "no-nvenc-hardware", True),
        ({"card": Card.OLD_DRIVER}, "old-driver", True),
        ({"sessions": 0, "refusal": 21}, "session-limit", False),
        ({"sessions": 0, "refusal": 10}, "session-limit", False),
        ({"fault": "error:10@CreateInputBuffer"}, "vram-oom", False),
        ({"fault": "error:2@cuCtxCreate"}, "vram-oom", False),
        ({"fault": "error:10@1"}, "vram-oom", False),
        ({"fault": "error:8@1"}, "bad-parameter", False),
        ({"fault": "error:20@1"}, "encode-failed", False),
        ({"fault": "crash@1"}, "crashed", False),
        ({"fault": "green@1-1"}, "encode-failed", False),
        ({"card": Card.NO_VIDEO_CAPABILITY}, "no-video-capability", False),
        ({"card": Card.NO_DEVICE}, "gpu-visibility", False),
        ({"card": Card.ZERO_DEVICES}, "gpu-visibility", False),
    ],
)
def test_only_failures_that_last_are_remembered(
    emulated_driver: Callable[..., EmulatedDriver], tmp_path, settings, failure, remembered
):
    answer = ask(emulated_driver(**settings), "nvenc", tmp_path)
    assert (answer["available"], answer["failure"]) == (False, failure)
    assert (tmp_path / "cache").exists() == remembered


def test_after_a_full_house_the_next_trial_finds_the_encoder(emulated_driver, tmp_path):
    assert ask(emulated_driver(sessions=0), "nvenc", tmp_path)["failure"] == "session-limit"
    assert ask(emulated_driver(), "nvenc", tmp_path)["available"]


def test_a_trial_waits_for_a_slot_and_reports_a_full_house_as_such(emulated_driver, tmp_path):
    uuid = "GPU-00000000-0000-0000-0000-000000000000"
    ours = NvencSessions(tmp_path / "run", gpu=uuid)
    driver = emulated_driver()
    with ours.acquire("a.mp4"), ours.acquire("b.mp4"):
        answer = ask(driver, "nvenc", tmp_path)
    assert (answer["available"], answer["failure"]) == (False, "session-limit")
    assert "for 'a.mp4'" in answer["reason"]
    assert driver.events() == []


def test_nvdec_that_does_not_decode_is_not_available(emulated_driver, tmp_path):
    assert not ask(emulated_driver(), "nvdec", tmp_path)["available"]


def test_nvmls_own_list_shows_sessions_of_other_programs(emulated_driver, tmp_path):
    driver = emulated_driver()
    with driver.outside_sessions(2):
        listed = ask(driver, "sessions", tmp_path)
        load = ask(driver, "load", tmp_path)
    assert [session["pid"] for session in listed] == [os.getpid()] * 2
    assert load["encoder_sessions"] == 2
    assert load["encoder_percent"] == 100
    assert load["power"] is None  # this driver doesn't tell


@pytest.mark.parametrize(
    ("name", "engines"),
    [
        ("NVIDIA H200", 0),
        ("NVIDIA H100 80GB HBM3", 0),
        ("NVIDIA A100-SXM4-40GB", 0),
        ("NVIDIA GH200 480GB", 0),
        ("NVIDIA GeForce RTX 5090", 3),
        ("NVIDIA GeForce RTX 5090 Laptop GPU", 1),
        ("NVIDIA GeForce RTX 3060", 1),
        ("Tesla P4", None),
    ],
)
def test_published_engines_are_known_for_cards_whose_names_say_enough(name, engines):
    assert Gpu(0, "GPU-0", name, "580.0").nvenc_engines == engines


@pytest.mark.parametrize(
    ("capability", "generation"),
    [((7, 5), "Turing"), ((8, 6), "Ampere"), ((8, 9), "Ada"), ((9, 0), "Hopper"), ((12, 0), "Blackwell"), (None, None)],
)
def test_the_generation_follows_from_the_compute_capability(capability, generation):
    assert Gpu(0, "GPU-0", "a card", "580.0", compute_capability=capability).generation == generation


@pytest.mark.parametrize(
    ("shown", "visible"),
    [
        ("GPU-00000000-0000", True),
        ("0,1", True),
        ("1,0", False),  # the first that names no card ends the list
        ("", False),
    ],
)
def test_a_card_that_cuda_is_not_to_see_is_not_there(emulated_driver, tmp_path, monkeypatch, shown, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    inventory = ask(emulated_driver(), "gpus", tmp_path)
    assert [gpu["index"] for gpu in inventory["gpus"]] == ([0] if visible else [])
    if not visible:
        assert inventory["problem"] == f"CUDA_VISIBLE_DEVICES={shown} hides every GPU."


def test_a_process_that_uses_a_card_sees_no_other(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert environment("GPU-00000000-0000")["CUDA_VISIBLE_DEVICES"] == "GPU-00000000-0000"
    assert environment("0")["CUDA_VISIBLE_DEVICES"] == environment(None)["CUDA_VISIBLE_DEVICES"] == "1,0"
