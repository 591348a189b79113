"""Attacks on effdl from outside, one kind per file; `scripts/attack.py` is the command."""
