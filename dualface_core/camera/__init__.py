"""A calm virtual camera for each tile: from where the faces are to what each tile shows.

Belongs here: making a TilePlan. Doesn't: its schema (`tables`), or drawing it (`compositing`).
"""
