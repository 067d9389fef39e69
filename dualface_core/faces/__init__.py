"""What is in a frame: finding faces, and describing whose they are."""
