"""Sweeps: launching jobs, the folder of a sweep, its sweepers, and what is shown of it."""
