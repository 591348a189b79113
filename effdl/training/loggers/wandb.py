"""Weights & Biases: offline by default, so that nothing leaves the machine unless the user says so."""

import os
import shutil
import uuid
from pathlib import Path
from typing import Literal

from effdl.training.loggers.scalars import scalars
from effdl.utils.errors import UserError

os.environ.update(WANDB_ERROR_REPORTING="false", DO_NOT_TRACK="true")  # read when wandb starts its service

try:  # this module is imported when a config names it: what is missing is told before any training
    import wandb
except ImportError as error:
    raise UserError(f"logger=wandb: {error}; install it with: pip install 'effdl[wandb]'") from error


class Wandb:
    """Logs config, epochs and stages of a run to ``FOLDER/wandb``; ``wandb sync`` uploads an offline run.

    Args:
        folder: the run folder; a resumed run keeps its id, and its offline files replace those before them.
        mode: ``online`` sends everything to the server that `wandb login` names.
    """

    def __init__(
        self,
        folder: Path,
        config: dict,
        *,
        mode: Literal["offline", "online"] = "offline",
        project: str = "effdl",
        entity: str | None = None,
    ):
        self.step = 0
        for path in (folder / "wandb").glob("offline-run-*"):
            shutil.rmtree(path)
        quiet = {"silent": True, "console": "off", "disable_git": True, "disable_code": True}
        private = {f"x_disable_{what}": True for what in ("meta", "stats", "machine_info")}
        self.run = wandb.init(
            dir=folder,
            mode=mode,
            project=project,
            entity=entity,
            id=_identity(folder / "wandb" / "id"),
            name=folder.name,
            resume="allow",
            reinit="create_new",
            config=config,
            settings=wandb.Settings(x_save_requirements=False, **quiet, **private),
        )

    def epoch_end(self, row: dict) -> None:
        """Log the row of an epoch."""
        self.step += 1
        self.run.log(scalars("epoch", row), step=self.step)

    def stage_end(self, row: dict) -> None:
        """Log the row of a stage, and keep it as the run's summary."""
        self.run.log(scalars(row["stage"], row), step=self.step)

    def run_end(self, status: str) -> None:
        """End the W&B run."""
        self.run.summary["status"] = status
        self.run.finish(exit_code=0 if status in ("done", "stopped") else 1)


def _identity(file: Path) -> str:
    """The id that a file holds, drawn if there is none: a resumed run is the same run."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(uuid.uuid4().hex)
    return file.read_text()
