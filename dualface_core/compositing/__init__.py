"""Drawing tiles: each tile's crop window, resampled out of a frame's planes with sub-pixel accuracy.

Belongs here: sampling, surfaces, what no tile covers, and how tiles are finished. Doesn't: where a tile and its crop
window are, which the plan says.
"""
