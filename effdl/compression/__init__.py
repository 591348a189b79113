"""Compression methods, one per file: functions from model to model."""
