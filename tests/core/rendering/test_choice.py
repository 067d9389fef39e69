from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dualface_core.encoding.failures import EncoderError, FailureClass
from dualface_core.encoding.sessions import NvencSessions
from dualface_core.errors import SettingsError
from dualface_core.rendering.choice import EncoderChoice, choose_encoder, least_busy, mark_unusable, may_fall_back
from dualface_core.settings import Settings
from tests.nvenc_emulator import Card, EmulatedDriver

MakeSettings = Callable[..., Settings]
Emulated = Callable[..., EmulatedDriver]


def failed(failure: FailureClass) -> EncoderError:
    return EncoderError(failure, encoder="h264_nvenc", reason="as given")


def test_software_that_was_asked_for_needs_no_explanation_and_no_look_at_the_gpu(settings: MakeSettings) -> None:
    choice = choose_encoder(settings(encoder="software"))
    assert choice == EncoderChoice(nvenc=False, why=None, gpu="", driver=None)
    assert not choice.fallback


def test_nvenc_is_chosen_where_a_picture_went_through_it(settings: MakeSettings, emulated: Emulated) -> None:
    emulated()
    choice = choose_encoder(settings())
    assert (choice.nvenc, choice.why) == (True, None)


def test_sessions_that_are_all_in_use_are_a_reason_to_queue_and_not_to_give_up(
    settings: MakeSettings, emulated: Emulated
) -> None:
    with emulated().outside_sessions(2):
        assert choose_encoder(settings()).nvenc


@pytest.mark.parametrize(
    ("card", "reason", "could_be_made_to_work"),
    [
        (Card.NO_DRIVER, "install driver 570", False),
        (Card.NO_ENCODER, "has no engine for this codec", False),
        (Card.OLD_DRIVER, "too old", True),
        (Card.NO_VIDEO_CAPABILITY, "NVIDIA_DRIVER_CAPABILITIES", True),
    ],
)
def test_without_nvenc_it_is_software_and_says_why(
    settings: MakeSettings, emulated: Emulated, card: Card, reason: str, could_be_made_to_work: bool
) -> None:
    emulated(card=card)
    for encoder, fallback in (("auto", could_be_made_to_work), ("nvenc", True)):
        choice = choose_encoder(settings(encoder=encoder))
        assert (choice.nvenc, choice.fallback) == (False, fallback)
        assert reason in choice.why
    with pytest.raises(EncoderError, match=reason):
        choose_encoder(settings(encoder="nvenc", software_fallback=False))
    # Nothing fails by it, so it needs no fallback.
    assert not choose_encoder(settings(encoder="auto", software_fallback=False)).nvenc


def test_what_stays_so_is_asked_once_and_per_codec(settings: MakeSettings, emulated: Emulated) -> None:
    emulated(card=Card.OLD_DRIVER)
    first = choose_encoder(settings())
    emulated()  # a new driver would not help this process
    assert choose_encoder(settings()) == first
    emulated(card=Card.NO_VIDEO_CAPABILITY)
    assert "NVIDIA_DRIVER_CAPABILITIES" in choose_encoder(settings(codec="av1")).why


def test_what_may_pass_is_asked_again(settings: MakeSettings, emulated: Emulated) -> None:
    emulated(fault="error:20@1")
    assert not choose_encoder(settings()).nvenc
    emulated()
    assert choose_encoder(settings()).nvenc


def test_no_sessions_allowed_means_software_or_a_contradiction(settings: MakeSettings) -> None:
    assert "no NVENC session" in choose_encoder(settings(nvenc_max_sessions=0)).why
    with pytest.raises(SettingsError, match="0 sessions are allowed"):
        choose_encoder(settings(nvenc_max_sessions=0, encoder="nvenc", software_fallback=False))


def test_a_preset_that_only_software_has_decides_for_software(settings: MakeSettings) -> None:
    choice = choose_encoder(settings(preset="veryfast"))
    assert not choice.nvenc
    assert "h264_nvenc has no preset 'veryfast'" in choice.why
    with pytest.raises(SettingsError, match="veryfast"):
        choose_encoder(settings(preset="veryfast", encoder="nvenc"))


def test_a_trial_takes_a_slot_like_any_encode(settings: MakeSettings, emulated: Emulated) -> None:
    emulated()
    choice = choose_encoder(settings())
    assert NvencSessions(settings().runtime, gpu=choice.gpu).status().counters.closed == 1


def test_of_two_cards_the_one_with_fewer_sessions_in_use_is_taken(settings: MakeSettings) -> None:
    cards = [NvencSessions(settings().runtime, gpu=name) for name in ("GPU-a", "GPU-b")]
    assert least_busy(cards) is cards[0]
    with cards[0].acquire("a.mp4"):
        assert least_busy(cards) is cards[1]
        with cards[1].acquire("b.mp4"), cards[1].acquire("c.mp4"):
            assert least_busy(cards) is cards[0]


@pytest.mark.parametrize("failure", list(FailureClass))
def test_the_gpus_failures_may_end_in_software_and_no_others(settings: MakeSettings, failure: FailureClass) -> None:
    ours = {FailureClass.USER_ERROR, FailureClass.DOUBLE_FLUSH, FailureClass.INTERNAL}
    assert may_fall_back(failed(failure), settings()) == (failure not in ours)
    assert not may_fall_back(failed(failure), settings(software_fallback=False))


def test_a_failure_that_stays_is_remembered_and_one_that_passes_is_not(
    settings: MakeSettings, emulated: Emulated
) -> None:
    emulated()
    mark_unusable(failed(FailureClass.STALLED), "0", settings())
    assert choose_encoder(settings()).nvenc
    mark_unusable(failed(FailureClass.GPU_VISIBILITY), "0", settings())
    choice = choose_encoder(settings())
    assert not choice.nvenc
    assert "gpu-visibility" in choice.why


@pytest.mark.parametrize("failure", list(FailureClass))
def test_the_documentation_names_every_class_of_failure(failure: FailureClass) -> None:
    text = (Path(__file__).parents[3] / "docs" / "encoding.md").read_text(encoding="utf-8")
    assert f"`{failure.value}`" in text
