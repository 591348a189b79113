"""What experiments report, against what their runs measured."""
