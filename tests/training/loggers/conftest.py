"""The rows of a run of three epochs and two stages."""

import pytest

EPOCHS = [
    {"stage": "dense", "fit": 0, "epoch": 1, "loss": 2.0, "val_top1": 0.25, "energy_kwh": None},
    {"stage": "dense", "fit": 0, "epoch": 2, "loss": 1.0, "val_top1": 0.5, "energy_kwh": None},
    {"stage": "prune", "fit": 1, "epoch": 1, "loss": 1.5, "val_top1": 0.375, "energy_kwh": None},
]
STAGES = [{"stage": "dense", "top1": 0.5, "size_bytes": 1000}, {"stage": "prune", "top1": 0.375, "size_bytes": 600}]


@pytest.fixture
def tell():
    """Tell a logger of the first rows of the run, or of all and that it is done."""

    def tell(logger, events=None):
        rows = [("epoch_end", row) for row in EPOCHS[:2]]
        rows += [("stage_end", STAGES[0]), ("epoch_end", EPOCHS[2]), ("stage_end", STAGES[1])]
        for event, row in rows[:events]:
            getattr(logger, event)(row)
        if events is None:
            logger.run_end("done")

    return tell
