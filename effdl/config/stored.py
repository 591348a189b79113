"""The config of a run out of its own file, which may come from anywhere. No Hydra here."""

from copy import deepcopy

from effdl.config.identity import add_later_keys, by_target
from effdl.config.validation import check_settings


def stored_config(stored: dict) -> dict:
    """A run's config out of its own file, with code again; its own keys are checked, what its groups name is not.

    Raises:
        UserError: an option that is not there, or a value that is not allowed.
    """
    config = deepcopy(by_target(stored))
    add_later_keys(config)
    check_settings(config, None)
    return config
