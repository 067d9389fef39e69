"""How many threads the libraries' own pools have: a matter of the process, so it is set once, where one starts.

Belongs here: that one rule. The count is the whole process's, and several videos may be in work in it; so nothing on
the way may change it. Threads of torch wait for one another by spinning: where a decoder, an encoder or another video
wants the cores too, most of their time goes into that (docs/decisions/0004).
"""

from __future__ import annotations

import os


def limit_library_threads() -> None:
    """Give torch (and BLAS) and OpenCV one thread, in this process and those that it starts.

    It is to be called by a program, before it uses any of them: they read these variables of the environment when they
    are first used, and so need not be loaded here. A variable that is set already stays as it is.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
