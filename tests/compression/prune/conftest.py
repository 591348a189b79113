"""A trainer on noise, and pruning as its shipped files configure it."""

import pytest


@pytest.fixture
def trainer(make_trainer):
    """It notes what it is asked for and trains nothing; ``trainer.batches = 3`` makes it train."""
    return make_trainer()


@pytest.fixture
def pruned(shipped):
    """Prune with the defaults of the shipped file of a criterion, and what is given besides."""
    return lambda model, trainer, level, *, name="magnitude", **keys: shipped(name, model, trainer, level, **keys)
