"""Pictures on a card for tests, written through libcuda.so.1 as it is: the emulated one, or a real card's.

Belongs here: memory of the card, filled from NumPy arrays and handed to PyAV. Nothing is computed on the card.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_int64, c_size_t, c_uint, c_uint8, c_uint64, c_void_p

import numpy as np
from av.video.frame import CudaContext, VideoFrame

_HOST, _DEVICE = 1, 2


class _CopyEnd(Structure):
    _fields_ = (
        ("x", c_size_t),
        ("y", c_size_t),
        ("type", c_uint),
        ("host", c_void_p),
        ("device", c_uint64),
        ("array", c_void_p),
        ("pitch", c_size_t),
    )


class _Copy2D(Structure):
    _fields_ = (("source", _CopyEnd), ("target", _CopyEnd), ("width", c_size_t), ("height", c_size_t))


class _Tensor(Structure):
    """DLPack's DLManagedTensor."""


_Deleter = ctypes.CFUNCTYPE(None, POINTER(_Tensor))
_Tensor._fields_ = (
    ("data", c_void_p),
    ("device_type", c_int),
    ("device_id", c_int),
    ("ndim", c_int),
    ("type_code", c_uint8),
    ("type_bits", c_uint8),
    ("type_lanes", ctypes.c_uint16),
    ("shape", POINTER(c_int64)),
    ("strides", POINTER(c_int64)),
    ("byte_offset", c_uint64),
    ("manager", c_void_p),
    ("deleter", _Deleter),
)
_KEPT = _Deleter(lambda _: None)  # the memory is freed with its slot, not with the frames that show it
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype, _new_capsule.argtypes = ctypes.py_object, (c_void_p, c_char_p, c_void_p)


class CardMemory:
    """Slots for NV12 pictures on the first card, in its primary context, which becomes this thread's current one.

    Args:
        width, height: of a picture, even.
        pitch: bytes from row to row.
        slots: pictures that there is room for.

    Raises RuntimeError where the driver refuses.
    """

    def __init__(self, width: int, height: int, *, pitch: int, slots: int) -> None:
        self._driver = ctypes.CDLL("libcuda.so.1")
        self._size, self._pitch = (width, height), pitch
        context, device = c_void_p(), c_int()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", byref(context), device)
        self._call("cuCtxPushCurrent_v2", context)
        self._context = CudaContext(0, primary_ctx=False, current_ctx=True)
        self._slots = []
        for _ in range(slots):
            memory = c_uint64()
            self._call("cuMemAlloc_v2", byref(memory), c_size_t(pitch * height * 3 // 2))
            self._slots.append(memory.value)
        self._tensors: list[_Tensor] = []

    def write(self, slot: int, picture: np.ndarray) -> None:
        """Copy a picture, uint8 of (height * 3 / 2, width), into a slot."""
        picture = np.ascontiguousarray(picture)
        width, height = self._size
        copy = _Copy2D(
            _CopyEnd(type=_HOST, host=picture.ctypes.data, pitch=width),
            _CopyEnd(type=_DEVICE, device=self._slots[slot], pitch=self._pitch),
            width,
            height * 3 // 2,
        )
        self._call("cuMemcpy2D_v2", byref(copy))

    def frame(self, slot: int) -> VideoFrame:
        """A frame that shows what is in a slot, without a copy."""
        width, height = self._size
        start = self._slots[slot]
        planes = (self._plane(start, height, width), self._plane(start + self._pitch * height, height // 2, width))
        return VideoFrame.from_dlpack(planes, format="nv12", cuda_context=self._context)

    def _plane(self, start: int, height: int, width: int) -> object:
        tensor = _Tensor(
            data=start,
            device_type=2,  # CUDA
            ndim=2,
            type_code=1,  # unsigned
            type_bits=8,
            type_lanes=1,
            shape=(c_int64 * 2)(height, width),
            strides=(c_int64 * 2)(self._pitch, 1),
            deleter=_KEPT,
        )
        self._tensors.append(tensor)
        return _new_capsule(ctypes.addressof(tensor), b"dltensor", None)

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._driver, name)(*arguments)
        if code:
            raise RuntimeError(f"{name} failed with CUDA's code {code}")
