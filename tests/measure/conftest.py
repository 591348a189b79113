"""What measures is tested as it is."""

import pytest


@pytest.fixture(autouse=True)
def hurried():
    """Times are measured with the budgets that runs have."""
