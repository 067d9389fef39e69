"""The loop that one writes first: `python -m benchmarks.opencv_loop VIDEO OUTPUT`.

cv2.VideoCapture, cv2.FaceDetectorYN in every frame, a crop around each of the two best faces, cv2.VideoWriter. No
audio, no timestamps, no identities, no check. It is what `benchmarks.speed` compares with, and nothing else.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np

from dualface_core.faces.weights import YUNET, read_weights

TILE = (960, 1080)


def main() -> None:
    """Read, detect, crop, write."""
    source, target = sys.argv[1:]
    video = cv2.VideoCapture(source)
    size = int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT))
    detector = cv2.FaceDetectorYN.create(str(read_weights(YUNET, None).path), "", size, 0.7, 0.3, 50)
    canvas = (2 * TILE[0], TILE[1])
    writer = cv2.VideoWriter(target, cv2.VideoWriter.fourcc(*"mp4v"), video.get(cv2.CAP_PROP_FPS), canvas)
    centers = [(size[0] / 4, size[1] / 2), (3 * size[0] / 4, size[1] / 2)]
    height = size[1] * 3 // 5
    width = height * TILE[0] // TILE[1]
    while True:
        there, frame = video.read()
        if not there:
            break
        _, faces = detector.detect(frame)
        if faces is not None and len(faces) > 1:
            best = sorted(faces[np.argsort(-faces[:, 14])[:2]], key=lambda face: float(face[0]))
            centers = [(face[0] + face[2] / 2, face[1] + face[3] / 2) for face in best]
        tiles = []
        for x, y in centers:
            left = int(np.clip(x - width / 2, 0, size[0] - width))
            top = int(np.clip(y - height / 2, 0, size[1] - height))
            tiles.append(cv2.resize(frame[top : top + height, left : left + width], TILE))
        writer.write(np.hstack(tiles))
    writer.release()


if __name__ == "__main__":
    main()
