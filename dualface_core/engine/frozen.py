"""Importing this module keeps what is loaded so far from being collected, in this process and those forked from it.

Belongs here: nothing else. It is the last that the fork server loads. The collector visits every object that may hold
others, and writes into it: each process would copy the memory of all that was loaded, and look through it in vain.
"""

from __future__ import annotations

import gc

gc.collect()
gc.freeze()
