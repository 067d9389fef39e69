"""Whether a result is right and how good it is: verification, and figures for camera paths."""
