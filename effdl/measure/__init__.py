"""One module per measured quantity; each returns a flat dict of plain numbers, None where nothing was measured."""
