"""Who is where, over time: shots, tracklets and the two identities."""
