"""What people call the parts of a config, and the folder of a run. Pure functions; no Hydra."""

import re

from effdl.config.identity import fingerprint
from effdl.config.schema import LEVELS


def option_name(node: dict) -> str:
    """What a node names: its option or function, with the library's name of the model if it has one."""
    option = node.get("option") or node["_target_"].rpartition(".")[2]
    return " ".join([option, *([node["name"]] if "name" in node else [])])


def title(config: dict) -> str:
    """The model and the data set: ``resnet on digits``."""
    return f"{option_name(config['model'])} on {option_name(config['dataset'])}"


def folder_name(config: dict) -> str:
    """The folder of a run in its sweep: its model and levels for people, and the start of its fingerprint."""
    levels = [f"{key}{config[key]}" for key in LEVELS if config.get(key)]
    model = config["model"].get("name") or option_name(config["model"])
    words = [re.sub(r"[^\w.]+", "_", str(word))[-24:] for word in (model, *levels, f"seed{config['seed']}")]
    return "-".join([*words, fingerprint(config)[:8]])
