"""One module per measured quantity; each returns a flat dict of plain numbers, None for those not measured."""
