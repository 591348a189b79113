"""One run: its parts, its stages, its folder, and measuring its stored model."""
