"""Configs: what they may hold, composing and checking them, and how files name what they choose."""
