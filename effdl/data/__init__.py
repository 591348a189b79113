"""Data sets: one file per source, splits, batches, augmentation."""
