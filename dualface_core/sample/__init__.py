"""Two-person videos made from real faces, with the truth about where each person is in every frame.

Belongs here: what `dualface sample` makes, so that anyone can try the program and anyone can measure it. `sources`
fetches clips and photographs of people, `people` cuts the people out of them, `scenes` and `edited` say who is where at
what time in the words of `moments`, `drawing` draws that, `notes` and `truth` keep what was drawn, and `make` puts them
together. The one idea: the truth
comes from the drawing, never from a detector.
"""

from dualface_core.sample.make import make_sample

__all__ = ["make_sample"]
