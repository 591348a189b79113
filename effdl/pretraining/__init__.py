"""Pretraining without labels: one method a file, what they share, and the library that has their losses."""
