"""A portrait: an image file that shows one person's face, to name that person by.

Belongs here: reading it and finding its face. Whom of a video it is like, is `tracking`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.errors import MissingInputError, PortraitError
from dualface_core.faces.alignment import align_face
from dualface_core.faces.detections import Detections
from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.embedder import FaceEmbedder
from dualface_core.system.read_errors import read_error

_SIDES: Final = (640, 320, 160)
"""Longer sides of the image in which the face is looked for, in turn: a large one is found in a small image."""

_SCORE: Final = 0.6
"""Of the detection of a face."""

_BESIDE: Final = 0.5
"""Height of another face, by that of the largest one, below which it is in the background, or none at all."""

_ACTION: Final = "Take an image of one face, from the front and sharp, or do without."


@dataclass(frozen=True)
class Portrait:
    """One person's face.

    Attributes:
        path: the image.
        embedding: (128,) float32 of length 1.
    """

    path: Path
    embedding: NDArray[np.float32]

    @classmethod
    def read(cls, path: Path, detector: FaceDetector, embedder: FaceEmbedder) -> Portrait:
        """Read an image of one face; an orientation in its EXIF data is followed.

        Raises:
            MissingInputError: there is no such file.
            PortraitError: it is no image, shows no face or several, none of which is much larger than the others.
            MachineError: it cannot be read now.
        """
        try:
            content = np.frombuffer(path.read_bytes(), np.uint8)
        except FileNotFoundError:
            raise MissingInputError(path, "there is no such file", action="Check the name and the folder.") from None
        except OSError as error:
            raise read_error(path, error) from error
        image = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
        if image is None:
            raise PortraitError(path, "it is not an image that can be read", action="Take a JPEG or a PNG.")
        face = np.asarray(image, np.uint8)
        faces = _faces(face, detector)
        heights = faces.boxes[:, 3]
        count = int(np.sum(heights >= _BESIDE * np.max(heights, initial=1.0)))
        if count != 1:
            found = "no face was found in it" if not count else f"{count} faces were found in it, not one"
            raise PortraitError(path, found, action=_ACTION)
        return cls(path, embedder.embed(align_face(face, faces.landmarks[int(heights.argmax())])[None])[0])

    def unlike(self, cosine: float, least: float) -> PortraitError:
        """The error of a portrait that is like nobody of a video: the nearest has this cosine."""
        found = (
            f"nobody in the video is like this face: the nearest has a cosine of {cosine:.2f}, not {least:g} or more"
        )
        return PortraitError(self.path, found, action=_ACTION)


def _faces(image: NDArray[np.uint8], detector: FaceDetector) -> Detections:
    """The faces of an image, in its pixels."""
    for side in _SIDES:
        factor = min(1.0, side / max(image.shape))
        size = tuple(max(1, round(length * factor)) for length in image.shape[1::-1])
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        (found,) = detector.detect(small[None], score_threshold=_SCORE)
        if len(found):
            break
    return found.scaled(image.shape[1] / small.shape[1], image.shape[0] / small.shape[0])
