"""Containers, frames and codecs: the only room that imports PyAV.

Belongs here: reading and writing of files and streams. Doesn't: which encoder is chosen, or what a frame shows.
"""
