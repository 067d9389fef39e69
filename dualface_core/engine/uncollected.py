"""Importing this module keeps the garbage collector from looking through what is loaded next; `frozen` lets it again.

Belongs here: nothing else. It is the first that the fork server loads.
"""

from __future__ import annotations

import gc

gc.disable()
