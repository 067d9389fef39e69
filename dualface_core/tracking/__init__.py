"""Who is where, over time: shots, tracklets, heads and the two identities.

Belongs here: making FaceTracks. Doesn't: its schema (`tables`), or what a camera makes of it (`camera`).
"""
