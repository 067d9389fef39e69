"""What is said of a driver or a card that will not do."""

from __future__ import annotations

import ctypes
import pickle
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dualface_core.system import cuda
from dualface_core.system.cuda import Card, CudaError, why_unusable


class MadeUpDriver:
    """Answers like a driver of this CUDA version, with so many cards of this compute capability."""

    def __init__(self, *, version: int = 13000, cards: int = 1, capability: tuple[int, int] = (9, 0)) -> None:
        self.version, self.cards, self.capability = version, cards, capability

    def __call__(self, name: str, *arguments: object) -> None:
        answers = {"cuDriverGetVersion": self.version, "cuDeviceGetCount": self.cards}
        if name == "cuDeviceGetAttribute":
            answers[name] = self.capability[arguments[1] - 75]
        if name in answers:
            ctypes.cast(arguments[0], ctypes.POINTER(ctypes.c_int)).contents.value = answers[name]


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (MadeUpDriver(), None),
        (MadeUpDriver(version=12020), "its driver knows CUDA 12.2, and 12.4 is needed"),
        (MadeUpDriver(cards=0), "the driver finds none"),
        (MadeUpDriver(capability=(7, 0)), "it is of compute capability 7.0, and 7.5 is needed"),
    ],
)
def test_a_card_can_be_used_if_driver_and_card_know_what_the_kernels_are_compiled_for(
    driver: MadeUpDriver, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "_call", driver)
    assert why_unusable() == reason


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(cuda, "_LIBRARY", "libcuda-that-is-not-there.so.1")
    cuda._driver.cache_clear()
    yield
    cuda._driver.cache_clear()


@pytest.mark.usefixtures("no_driver")
def test_without_a_driver_the_loader_says_what_is_missing() -> None:
    reason = why_unusable()
    assert reason is not None
    assert reason.startswith("Loading the driver failed: libcuda-that-is-not-there.so.1")


def test_what_the_driver_says_arrives_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(CudaError("cuMemAlloc_v2", 2, "CUDA_ERROR_OUT_OF_MEMORY")))
    assert str(error) == "cuMemAlloc_v2 failed: CUDA_ERROR_OUT_OF_MEMORY"
    assert error.code == 2


def test_kernels_are_loaded_once_for_all_threads_that_want_them_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[str] = []

    def call(name: str, *arguments: object) -> None:
        called.append(name)
        time.sleep(0.02 if name == "cuModuleLoadData" else 0)

    monkeypatch.setattr(cuda, "_call", call)
    card = Card()
    with ThreadPoolExecutor(4) as threads:
        assert [len(found) for found in threads.map(lambda _: card.kernels(b"ptx", "one", "two"), range(4))] == [2] * 4
    assert called.count("cuModuleLoadData") == 1
    assert called.count("cuModuleGetFunction") == 8
