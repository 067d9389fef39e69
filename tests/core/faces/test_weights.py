from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualface_core.errors import MachineError, ModelError
from dualface_core.faces import loaded, loading, weights
from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.embedder import FaceEmbedder
from dualface_core.faces.weights import CARRIER, SFACE, YUNET, ModelFile, WeightFiles, read_weights
from dualface_core.faces.yunet import CardFaceDetector
from tests.core.compositing.emulated_card import AnyCard


@pytest.fixture
def carrier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the carrier's name, found before the real one, that must not be imported."""
    folder = tmp_path / CARRIER
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('the carrier was imported')")
    monkeypatch.delitem(sys.modules, CARRIER, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return folder / "models"


@pytest.mark.parametrize("model", [YUNET, SFACE])
def test_models_are_read_from_the_carrier_without_importing_it(model: ModelFile, carrier: Path) -> None:
    sys.path.pop(0)
    data = read_weights(model).path.read_bytes()
    sys.path.insert(0, str(carrier.parent.parent))
    (carrier / model.name).write_bytes(data)
    weights = read_weights(model)
    assert weights.path == carrier / model.name


def test_a_carrier_with_another_file_is_refused(carrier: Path) -> None:
    (carrier / YUNET.name).write_bytes(b"another model")
    with pytest.raises(ModelError, match=f"expected {YUNET.sha256}"):
        read_weights(YUNET)


def test_a_carrier_without_the_file_is_named(carrier: Path) -> None:
    with pytest.raises(ModelError, match=rf"{YUNET.name}: .*cannot be read \(No such file"):
        read_weights(YUNET)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"weights\.onnx: the YuNet face detector cannot be read"):
        FaceDetector(tmp_path / "weights.onnx")


def test_weights_on_a_drive_that_is_gone_are_not_called_missing(lost_drive: Path) -> None:
    with pytest.raises(MachineError, match=r"cannot be read \(Transport endpoint is not connected\)"):
        FaceDetector(lost_drive / "weights.onnx")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.onnx"
    path.write_text("not a model")
    with pytest.raises(ModelError, match="this is not the SFace face embedder"):
        FaceEmbedder(path)


def test_the_other_model_is_refused() -> None:
    with pytest.raises(ModelError, match="this is not the YuNet face detector"):
        FaceDetector(read_weights(SFACE).path)
    with pytest.raises(ModelError, match="this is not the SFace face embedder"):
        FaceEmbedder(read_weights(YUNET).path)


def test_what_finds_faces_on_a_card_refuses_the_other_model(card: AnyCard) -> None:
    with pytest.raises(ModelError, match="found 27 convolutions, not those of YuNet"):
        CardFaceDetector(card, read_weights(SFACE).path)  # type: ignore[arg-type]  # an emulated one does as well


def test_a_copy_of_the_weights_elsewhere_does_the_same(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(read_weights(YUNET).path.read_bytes())
    assert FaceDetector(path)
    assert WeightFiles(detector=path).sha256() == {"yunet": YUNET.sha256, "sface": SFACE.sha256}


def test_a_file_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(read_weights(YUNET).path.read_bytes())
    FaceDetector(path)
    path.write_bytes(read_weights(SFACE).path.read_bytes())
    with pytest.raises(ModelError, match="this is not the YuNet face detector"):
        FaceDetector(path)


def test_loading_both_networks_for_other_processes_leaves_it_to_them_to_tell_what_is_wrong(carrier: Path) -> None:
    (carrier / YUNET.name).write_bytes(b"another model")
    weights._loaded.cache_clear()
    importlib.reload(loading)
    importlib.reload(loaded)
    with pytest.raises(ModelError, match=f"expected {YUNET.sha256}"):
        FaceDetector()


def test_loading_both_networks_leaves_no_thread_and_says_and_writes_nothing(tmp_path: Path) -> None:
    code = "import os; from dualface_core.system.threads import limit_library_threads; limit_library_threads(); "
    code += "import dualface_core.faces.loaded\n"
    code += "while len(os.listdir('/proc/self/task')) > 1: pass\n"  # one that has ended is still there for a moment
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | home
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, timeout=120)
    assert (done.stdout, done.stderr, list(tmp_path.iterdir())) == (b"", b"", [])


def test_weights_are_dequantized_while_reading() -> None:
    layers = read_weights(YUNET).layers["Convolution"]
    assert len(layers) == 53
    assert all(weight.dtype == np.float32 and weight.ndim == 4 for weight, _ in layers)
    assert sum(array.size for layer in layers for array in layer) == 53_104


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.99))
def test_a_file_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    data = read_weights(YUNET).path.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match="not a readable ONNX file"):
        read_weights(YUNET, tmp_path / "cut.onnx")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_model_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "other.onnx").write_bytes(b"\x0f" + data)
    with pytest.raises(ModelError, match="not a readable ONNX file"):
        read_weights(YUNET, tmp_path / "other.onnx")
