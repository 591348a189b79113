"""Criteria of pruning: functions that score every weight; the lowest scores go."""
