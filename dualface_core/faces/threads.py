"""How many threads the networks use on a CPU: one.

A decoder, an encoder and other videos want the cores at the same time. torch's threads spin while they wait for each
other, so on a busy machine two of them burn several times the work that they share.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in the calling thread alone for the length of the block. Concerns the whole process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
