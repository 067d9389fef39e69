"""Turning a plan into a video file: one streaming pass, in this process or, for NVENC, in a watched one of its own."""
