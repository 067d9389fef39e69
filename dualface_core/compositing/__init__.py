"""Drawing tiles: each tile's crop window, resampled out of a frame's planes with sub-pixel accuracy.

Belongs here: sampling and surfaces. Doesn't: where a crop window is, which the plan says.
"""
