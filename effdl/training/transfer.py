"""Which parameters learn, how fast each, and from which epoch on: transfer learning.

`resolved` turns the keys of a config into names of the untrained model's layers, once: they keep their names when a
compression method gives them a mask, a quantizer or factors.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from effdl.measure.eval_mode import example_input
from effdl.models.parts import belongs, parts
from effdl.models.surgery import last_layer
from effdl.nn.call_graph import leaves
from effdl.utils.errors import UserError


@dataclass(frozen=True)
class Transfer:
    """How the parameters of a model learn.

    Args:
        learning: names of the layers and parameters that learn, with all that belongs to them; None: all.
        parts: names of what belongs to each part of the model, the first used first; those that no part has belong to
            the first. Empty if neither of the next two needs them.
        unfreeze: so many epochs after another one more part learns, from the last one on; None: all from the beginning.
        layer_decay: a part learns at this factor times the learning rate of the part behind it; None: all at the same.
    """

    learning: tuple[str, ...] | None = None
    parts: tuple[tuple[str, ...], ...] = ()
    unfreeze: int | None = None
    layer_decay: float | None = None

    def learns(self, name: str, epoch: int | None = None) -> bool:
        """Whether a parameter learns in an epoch, from 0; None: in any, if there are enough."""
        chosen = self.learning is None or belongs(plain_name(name), self.learning)
        return chosen and (None in (self.unfreeze, epoch) or self._depth(name) <= epoch // self.unfreeze)

    def lr_factor(self, name: str) -> float:
        """The factor on the learning rate of a parameter: `layer_decay` to the power of the parts behind its own.

        Clark et al. 2020 (ELECTRA), appendix A; Bao et al. 2022 (BEiT), appendix; after Howard & Ruder 2018 (ULMFiT),
        section 3.2, "discriminative fine-tuning".
        """
        return 1.0 if self.layer_decay is None else self.layer_decay ** self._depth(name)

    def _depth(self, name: str) -> int:
        """The number of parts behind that of a parameter."""
        at = next((number for number, part in enumerate(self.parts) if belongs(plain_name(name), part)), 0)
        return len(self.parts) - 1 - at


ALL_LEARN = Transfer()


def plain_name(name: str) -> str:
    """The name of a parameter or of what parametrizes it, as if that were part of the parameter by its old name."""
    return name.replace("parametrizations.", "").removesuffix(".original")


def resolved(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    trainable: str,
    unfreeze: int | None = None,
    layer_decay: float | None = None,
) -> Transfer:
    """What the keys ``trainable``, ``unfreeze`` and ``optimizer.layer_decay`` mean for a model.

    Args:
        trainable: ``all``; ``head``, the last layer; ``norm``, all norms and the last layer; ``last:K``, the last K
            parts of the model (see `effdl.models.parts`), of which the last layer is one; or a pattern of the names of
            layers or parameters (``*``, ``?``, ``[...]``).

    Raises:
        UserError: the model has nothing of that kind, fewer parts, or too few that learn for unfreezing.
    """
    found: tuple[tuple[str, ...], ...] = ()
    if trainable.startswith("last:") or unfreeze or layer_decay:
        images = example_input(model, (1, *input_shape))
        found = tuple(part.members for part in parts(model, images))
    learning = _learning(model, trainable, found)
    transfer = Transfer(learning, found if unfreeze or layer_decay else (), unfreeze, layer_decay)
    if unfreeze:
        depths = {transfer._depth(name) for name, _ in model.named_parameters() if transfer.learns(name)}
        if depths <= {0}:
            raise UserError(f"unfreeze={unfreeze}: with trainable={trainable} only one part learns (allowed: null)")
    return transfer


def described(transfer: Transfer, model: nn.Module, trainable: str) -> list[str]:
    """What learns and how fast, a line for each key that is not its default."""
    counts = {name: parameter.numel() for name, parameter in model.named_parameters()}
    learning = sum(count for name, count in counts.items() if transfer.learns(name))
    lines = []
    if trainable != "all":
        lines.append(f"trainable={trainable}: {learning:,} of {sum(counts.values()):,} parameters learn")
    if transfer.unfreeze:
        every = "every epoch" if transfer.unfreeze == 1 else f"every {transfer.unfreeze} epochs"
        lines.append(f"unfreeze={transfer.unfreeze}: {every} one more of {len(transfer.parts)} parts, from the last on")
    if transfer.layer_decay is not None:
        least = min(transfer.lr_factor(name) for name in counts)
        lines.append(f"optimizer.layer_decay={transfer.layer_decay}: from {least:.3g} to 1 times the learning rate")
    return lines


def _learning(model: nn.Module, trainable: str, found: tuple[tuple[str, ...], ...]) -> tuple[str, ...] | None:
    """Names of the layers and parameters that learn; None: all."""
    head, _ = last_layer(model)
    if trainable == "all":
        return None
    if trainable == "head":
        return (head,)
    if trainable == "norm":
        norms = [name for name, module in model.named_modules() if _is_norm(module)]
        if not norms:
            raise UserError("trainable=norm: this model has no norms that learn (allowed: head, say)")
        return (*norms, head)
    if trainable.startswith("last:"):
        count = int(trainable.removeprefix("last:"))
        if count > len(found):
            raise UserError(f"{trainable=!s}: the model has {len(found)} parts (allowed: last:1 to last:{len(found)})")
        return tuple(name for part in found[len(found) - count :] for name in part)
    names = [plain_name(name) for name, _ in model.named_parameters()]
    layers = [name for name, module in model.named_modules() if name and any(True for _ in module.parameters())]
    if not (fitting := tuple(name for name in (*layers, *names) if fnmatchcase(name, trainable))):
        shown = [name for name in layers if not any(belongs(name, (other,)) for other in layers if other != name)]
        raise UserError(
            f"{trainable=!s}: fits no layer or parameter (allowed: all, head, norm, last:K, or a pattern of names;"
            f" layers: {', '.join(shown)})"
        )
    return fitting


def _is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm with parameters, of any library: all call theirs so."""
    own = [parameter.ndim for parameter in module.parameters(recurse=False)]
    return bool(own) and max(own) < 2 and "norm" in type(module).__name__.lower()


class Freezing:
    """Keeps parameters of a model in training from learning, until `release`.

    Those that do not learn require no gradient. What holds only such is in eval mode while the rest is trained: batch
    norms keep their running statistics, dropout is off, and quantizers and masks stay as they are. So is what has no
    parameters, by what is next to it (see `_frozen_modules`).
    """

    def __init__(self, model: nn.Module, transfer: Transfer):
        self.model, self.transfer = model, transfer
        self.before = {parameter: parameter.requires_grad for parameter in model.parameters()}
        self.frozen: list[nn.Module] = []

    def freeze(self, epoch: int | None = None) -> bool:
        """Let only those learn that do in an epoch (see `Transfer.learns`); returns whether others did before."""
        changed = False
        for name, parameter in self.model.named_parameters():
            learns = self.before[parameter] and self.transfer.learns(name, epoch)
            changed |= learns != parameter.requires_grad
            parameter.requires_grad_(learns)
        if changed:
            self.frozen = _frozen_modules(self.model)
        return changed

    def train(self) -> None:
        """Put in train mode what learns, and the rest in eval mode."""
        self.model.train()
        for module in self.frozen:
            module.eval()

    @property
    def count(self) -> int:
        """The number of parameters that learn."""
        return sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)

    def release(self) -> None:
        """Let all require a gradient that did before."""
        for parameter, required in self.before.items():
            parameter.requires_grad_(required)


def _frozen_modules(model: nn.Module) -> list[nn.Module]:
    """Modules all of whose parameters are frozen, and those without any that are part of what is frozen.

    A module that has statistics and no parameters (a batch norm without affine ones) goes with the parameters before
    it, any other (dropout, stochastic depth) with those behind it: the dropout before a last layer that learns acts.
    """
    layers = [(module, [p.requires_grad for p in module.parameters()]) for _, module in leaves(model)]
    learns = next((any(flags) for _, flags in layers if flags), True)
    found: list[nn.Module] = []
    waiting: list[nn.Module] = []
    for module, flags in layers:
        if flags:
            learns = any(flags)
            found += [] if learns else [*waiting, module]
            waiting = []
        elif any(True for _ in module.buffers()):
            found += [] if learns else [module]
        else:
            waiting.append(module)
    own = [(module, [p.requires_grad for p in module.parameters()]) for module in model.modules()]
    return found + [module for module, flags in own if flags and not any(flags)]
