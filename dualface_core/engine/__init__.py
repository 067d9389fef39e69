"""What keeps all cores busy: where a video may be split, the host's budget of cores, and the processes that work.

Belongs here: splitting work into parts, running them in parallel, and bringing the results back in order. Doesn't: what
the parts do, which is tracking's, rendering's and verification's.
"""
