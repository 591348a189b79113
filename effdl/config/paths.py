"""The paths in a config: a relative one means the folder where it was typed. No Hydra here."""

from pathlib import Path

from effdl.config.schema import TEACHERS

_NO_PATHS = {"weights": ("pretrained",), "level": TEACHERS, "amounts": ()}


def located(config: dict, folder: Path) -> dict:
    """A config with absolute paths of models and amounts, for the relative ones that name something in a folder.

    So a run that works elsewhere (``hydra.job.chdir``) or is resumed from elsewhere finds what it was given. The config
    that it records keeps what was typed, of which its identity is made; so does what is not in the folder.

    Args:
        folder: where the config was typed.
    """

    def found(node: dict, key: str) -> dict:
        value = node.get(key)
        if not isinstance(value, str) or value in _NO_PATHS[key] or not (folder / value).exists():
            return node
        return {**node, key: str((folder / value).absolute())}

    models = {group: found(config[group], "weights") for group in ("model", "teacher") if config.get(group)}
    steps = {
        name: found(found(node, "amounts"), "level") if node.get("stage") == "distill" else found(node, "amounts")
        for name, node in config["compression"].items()
    }
    return {**config, **models, "compression": steps}
