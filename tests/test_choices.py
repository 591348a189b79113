"""No choice sees the test split: every file that compares results to choose one is listed here, with what it reads."""

import re
from pathlib import Path

import pytest

import effdl

PACKAGE = Path(effdl.__file__).parent
# What compares models or results: the Pareto front, a metric's cost, a study that is told values, the best of epochs.
CHOOSES = re.compile(
    r"\bfront\(|metric\(\w+\)\.cost\(|\.report\(|study\.tell\(|\.best = |loss < best|\.excess\(|goal\.cost\("
)
READS = {  # what these files read, as a word of theirs; None: they are given the keys, or rank what is told of entries
    "measure/pareto.py": None,
    "report/plots/scatter.py": "deciding",
    "report/scoring.py": None,  # the ranks of DCASE's own rules, which are of the evaluation split
    "report/totals.py": "deciding",
    "search/answer.py": "column(",
    "search/goal.py": "on_validation(",
    "search/models.py": "trial.row",  # without what the test split says, see `readable`
    "search/strategy.py": "trial.row",
    "search/trial.py": "not on_test(",
    "search/trials.py": "trial.row",
    "sweep/optuna_study.py": "val_top1",  # the objectives are checked by the sweeper
    "training/schedules.py": "validation",  # it is given validation losses
    "training/state.py": "val_loss",
}


def test_every_file_that_chooses_is_known():
    found = {str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if CHOOSES.search(file.read_text())}
    assert found == READS.keys()


@pytest.mark.parametrize("file", [file for file, word in READS.items() if word])
def test_it_reads_the_validation_split(file):
    assert READS[file] in (PACKAGE / file).read_text()
