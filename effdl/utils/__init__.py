"""What needs nothing else: errors, files, processes, hardware."""
