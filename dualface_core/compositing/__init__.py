"""Drawing tiles: each tile's crop window, resampled out of a frame's planes with sub-pixel accuracy.

Belongs here: sampling, surfaces, and what no tile covers. Doesn't: where a tile and its crop window are, which the plan
says.
"""
