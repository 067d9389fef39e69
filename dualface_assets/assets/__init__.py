"""The four assets, one module each, in the order of the pipeline."""
