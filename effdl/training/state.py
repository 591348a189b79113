"""What changes while a model is trained, and how it is saved and restored."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from effdl.nn.state import load_state
from effdl.training import objective
from effdl.training.device import Device
from effdl.training.distillation_loss import checked
from effdl.training.optimizers import scaled_groups
from effdl.training.recipe import Recipe
from effdl.training.transfer import Freezing
from effdl.utils.data_parallel import replicated
from effdl.utils.errors import RunError


class TrainingState:
    """A model in training: its optimizer, its running average and its best weights so far."""

    def __init__(self, model: nn.Module, recipe: Recipe, device: Device):
        self.model, self.recipe, self.device = model, recipe, device
        self.freezing = Freezing(model, recipe.transfer)
        self.freezing.freeze()
        self.forward = self._forward()
        self.distillation_losses = nn.ModuleList(checked(make(model)) for make in recipe.distillation_losses).to(
            device.torch_device
        )
        self.losses = [replicated(distillation_loss) for distillation_loss in self.distillation_losses]
        made = objective.checked(recipe.objective(model)) if recipe.objective else None
        self.objective = made and made.to(device.torch_device)
        self.minimized = made and replicated(self.objective)
        self.optimizer = self._optimizer()
        self.lr = max(group["base_lr"] for group in self.optimizer.param_groups)
        self.scaler = torch.amp.GradScaler(device.torch_device.type, enabled=device.precision == "fp16")
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema)) if recipe.ema else None
        self.best: dict[str, Tensor] | None = None
        self.early: dict[str, Tensor] | None = self.weights() if recipe.keep_epoch == 0 else None

    def _forward(self) -> nn.Module:
        """What computes the logits: the model compiled, or replicated."""
        if self.device.compile:
            torch.compiler.reset()  # what an earlier training compiled does not see new hooks and parametrizations
            return torch.compile(self.model)
        return replicated(self.model)

    def _optimizer(self) -> torch.optim.Optimizer:
        """The optimizer of all that ever learns, with the learning rates to which schedules are applied.

        Raises:
            RunError: nothing does.
        """
        own = [self.objective] if self.objective else []
        whole = nn.ModuleList([self.model, *self.distillation_losses, *own])
        if not any(parameter.requires_grad for parameter in whole.parameters()):
            raise RunError(f"nothing is left to train of {', '.join(self.recipe.transfer.learning or ())}")
        optimizer, transfer = self.recipe.optimizer(whole), self.recipe.transfer
        if transfer.layer_decay is not None:
            factors = {parameter: transfer.lr_factor(name) for name, parameter in self.model.named_parameters()}
            optimizer.param_groups[:] = scaled_groups(optimizer.param_groups, factors)
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"] * self.recipe.lr_scale
        return optimizer

    def begin_epoch(self, epoch: int) -> None:
        """Let those parameters learn that do in an epoch of this training, from 0."""
        if self.freezing.freeze(epoch):
            self.forward = self._forward()  # which of them learn is fixed when a model is replicated

    @property
    def kept(self) -> nn.Module:
        """The model that is validated and kept: the averaged one, if there is one."""
        return self.average.module if self.average else self.model

    def update(self, loss: Tensor, factor: float) -> None:
        """One optimizer step at `factor` times the learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if self.recipe.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update_parameters(self.model)

    def finished(self, rows: list[dict]) -> bool:
        """Whether all epochs are done, or `early_stop` epochs have passed without a lower validation loss."""
        patience, losses = self.recipe.early_stop, [row["val_loss"] for row in rows if "val_loss" in row]
        stalled = patience and losses and len(losses) - 1 - losses.index(min(losses)) >= patience
        return len(rows) >= self.recipe.length or bool(stalled)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the weights that are kept, as they are now."""
        return {name: tensor.clone() for name, tensor in self.kept.state_dict().items()}

    def remember(self, rows: list[dict]) -> None:
        """Remember the weights to rewind to and, with `early_stop`, those of the lowest validation loss."""
        losses = [row["val_loss"] for row in rows if "val_loss" in row]
        if self.recipe.early_stop and losses.index(min(losses)) == len(losses) - 1:
            self.best = self.weights()
        if self.recipe.keep_epoch == len(rows):
            self.early = self.weights()

    def snapshot(self, rows: list[dict]) -> dict:
        """All that `restore` needs; of a finished training only the weights that are kept."""
        if self.finished(rows):
            model = self.best or self.kept.state_dict()
            return {"rows": rows, "model": model, "early": self.early, "finished": True}
        return {
            "rows": rows,
            "finished": False,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "best": self.best,
            "early": self.early,
            "distillation_losses": self.distillation_losses.state_dict(),
            "objective": self.objective.state_dict() if self.objective else None,
        }

    def restore(self, snapshot: dict | None) -> list[dict]:
        """Go back to where a snapshot was taken; returns the rows of the epochs done."""
        if snapshot is None:
            return []
        load_state(self.model, snapshot["model"])
        if snapshot["finished"]:
            self.average, self.best = None, None
            return snapshot["rows"]
        self.optimizer.load_state_dict(snapshot["optimizer"])
        self.scaler.load_state_dict(snapshot["scaler"])
        if self.average:
            self.average.load_state_dict(snapshot["average"])
        self.best, self.early = snapshot["best"], snapshot["early"]
        self.distillation_losses.load_state_dict(
            snapshot.get("distillation_losses", snapshot.get("guides"))
        )  # layout 1
        if self.objective:
            self.objective.load_state_dict(snapshot["objective"])
        return snapshot["rows"]

    def close(self) -> None:
        """Take the hooks of losses and of the objective off, and let all parameters require gradients again."""
        self.freezing.release()
        for distillation_loss in self.distillation_losses:
            distillation_loss.close()
        if hasattr(self.objective, "close"):
            self.objective.close()

    def result(self) -> nn.Module:
        """The trained model with the weights that are kept."""
        if self.best or self.average:
            load_state(self.model, self.best or self.kept.state_dict())
        return self.model.eval()
