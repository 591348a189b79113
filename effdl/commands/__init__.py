"""The commands of ``effdl``, one per file, and what they share. Hydra is imported nowhere else."""

from pathlib import Path


def config_folder() -> Path:
    """The shipped configs: inside an installed package, beside it in a source checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"
