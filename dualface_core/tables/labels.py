"""The closed sets of strings in the tables. Each member is its string, so columns and JSON stay readable."""

from __future__ import annotations

from enum import StrEnum


class Person(StrEnum):
    """Whom a face or a tile belongs to. A is on the left where both are first seen together."""

    A = "A"
    B = "B"


class FaceSource(StrEnum):
    """Where a row of FaceTracks comes from.

    DETECTED: a face was found. INTERPOLATED: on the way between two that were. FOLLOWED: no face can be seen, and the
    head was followed from where one was.
    """

    DETECTED = "detected"
    INTERPOLATED = "interpolated"
    FOLLOWED = "followed"


class CameraState(StrEnum):
    """What a tile's camera does in a frame, in the order in which a plan stores them.

    TRACKING: the person is in the frame, and the tile shows them. HOLDING: lost for a moment; the camera waits where
    they were. WIDE: not in this stretch; the tile shows the wide shot.
    """

    TRACKING = "tracking"
    HOLDING = "holding"
    WIDE = "wide"


class Subject(StrEnum):
    """Who or what a tile shows: a person, the two together, or the source's whole picture."""

    A = "A"
    B = "B"
    PAIR = "pair"
    FRAME = "frame"

    @property
    def people(self) -> tuple[Person, ...]:
        """The persons that a tile of it must show; none for the whole picture."""
        match self:
            case Subject.PAIR:
                return tuple(Person)
            case Subject.FRAME:
                return ()
            case _:
                return (Person(self),)

    @property
    def tile(self) -> str:
        """What a tile of it is called in a sentence."""
        match self:
            case Subject.PAIR:
                return "the tile of both"
            case Subject.FRAME:
                return "the whole picture's tile"
            case _:
                return f"tile {self}"


class SceneKind(StrEnum):
    """How the canvas is arranged.

    SPLIT: the layout's tiles, each person in their own. SOLO: one person on the whole canvas. TOGETHER: both in one
    crop window on the whole canvas (a two-shot). WHOLE: the source's picture, letterboxed where the canvas has another
    shape.
    """

    SPLIT = "split"
    SOLO = "solo"
    TOGETHER = "together"
    WHOLE = "whole"


class SceneMode(StrEnum):
    """Who decides on scenes: the director (AUTO), or nobody (OFF: one split throughout)."""

    AUTO = "auto"
    OFF = "off"


class Transition(StrEnum):
    """How one scene becomes the next within a shot: tiles slide and grow (EASED), or change at once (HARD)."""

    EASED = "eased"
    HARD = "hard"
