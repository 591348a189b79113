"""Loggers of other tools, one per file: each makes a watcher that is told of every row of a run, in order.

The step of an epoch is its number over all trainings of the run; a stage's row has the step of its last epoch.
After a resume the earlier rows are told again, so a logger must not record them twice.
"""
