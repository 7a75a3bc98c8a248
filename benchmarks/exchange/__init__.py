"""Graphs in NIR that other packages read and write: see `run.py`."""
