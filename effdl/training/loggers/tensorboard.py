"""TensorBoard: event files in the run folder."""

from pathlib import Path

from effdl.training.loggers.scalars import scalars
from effdl.utils.errors import UserError

try:  # this module is imported when a config names it: what is missing is told before any training
    from torch.utils.tensorboard import SummaryWriter
except ImportError as error:
    raise UserError(f"logger=tensorboard: {error}; install it with: pip install 'effdl[tensorboard]'") from error


class TensorBoard:
    """Writes the rows of a run to ``FOLDER/tensorboard``; a resumed run's file replaces those before it."""

    def __init__(self, folder: Path, config: dict):
        for path in (folder / "tensorboard").glob("events.out.tfevents.*"):
            path.unlink()
        self.writer, self.step = SummaryWriter(str(folder / "tensorboard")), 0

    def epoch_end(self, row: dict) -> None:
        """Write the row of an epoch."""
        self.step += 1
        self.write(scalars("epoch", row))

    def stage_end(self, row: dict) -> None:
        """Write the row of a stage."""
        self.write(scalars(row["stage"], row))

    def run_end(self, status: str) -> None:
        """Close the file."""
        self.writer.add_text("status", status, self.step)
        self.writer.close()

    def write(self, numbers: dict[str, float]) -> None:
        """Write numbers, to be seen at once."""
        for key, value in numbers.items():
            self.writer.add_scalar(key, value, self.step)
        self.writer.flush()
