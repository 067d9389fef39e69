"""How the networks are run: without gradients and, on a CPU, in the calling thread alone.

Belongs here: that one rule. Threads of torch wait for one another by spinning. Where a decoder, an encoder or another
video wants the cores too, most of their time goes into that: on two busy cores, two threads took 24 s of CPU time to
detect what one thread detected in 5 s. Different steps run side by side instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def inference() -> Iterator[None]:
    """Run torch in inference mode and in this thread only; the caller's number of threads is restored."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)
