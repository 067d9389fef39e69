"""Who is where, over time: shots, tracklets and the two identities.

Belongs here: making FaceTracks. Doesn't: its schema (`tables`), or what a camera makes of it (`camera`).
"""
