"""Containers, frames and codecs: the only place that imports PyAV."""
