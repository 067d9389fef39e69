"""A calm virtual camera for each tile: from where the faces are to what each tile shows.

Belongs here: the crop window of every tile and frame (`film`). Doesn't: which scenes there are (`directing`), the
schema of a plan (`tables`), or drawing it (`compositing`).
"""
