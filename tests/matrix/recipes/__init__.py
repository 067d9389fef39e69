"""The inputs: how each is made from the base clip, and what must become of it.

Belongs here: data, a module for each side of a file. What is expected is what is right, whether or not it is so today;
what ffprobe finds out about a file by itself isn't repeated.
"""

from __future__ import annotations

from typing import Final

from tests.matrix.recipes.audio import AUDIO
from tests.matrix.recipes.changes import CHANGES
from tests.matrix.recipes.clock import CLOCK
from tests.matrix.recipes.codecs import CODECS
from tests.matrix.recipes.colors import COLORS
from tests.matrix.recipes.containers import CONTAINERS
from tests.matrix.recipes.damage import DAMAGE
from tests.matrix.recipes.labels import LABELS
from tests.matrix.recipes.refused import REFUSED
from tests.matrix.recipes.shapes import SHAPES

RECIPES: Final = (
    *CONTAINERS,
    *CODECS,
    *COLORS,
    *SHAPES,
    *CLOCK,
    *AUDIO,
    *LABELS,
    *CHANGES,
    *DAMAGE,
    *REFUSED,
)
