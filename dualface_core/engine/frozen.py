"""Importing this module keeps what is loaded so far from being collected, in this process and those forked from it.

Belongs here: what is done once all is loaded. It is the last that the fork server loads. The collector visits every
object that may hold others, and writes into it: each process would copy the memory of all that was loaded, and look
through it in vain.
"""

from __future__ import annotations

import gc

gc.freeze()
gc.enable()
