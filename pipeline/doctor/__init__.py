"""What the pipeline finds here, and what to do about it: `python -m pipeline.doctor`."""
