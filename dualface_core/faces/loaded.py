"""Importing this module waits until both networks are loaded: `loading` is to be imported long before.

Belongs here: nothing else.
"""

from __future__ import annotations

from dualface_core.faces.loading import LOADING

LOADING.join()
