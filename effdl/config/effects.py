"""Whether what was typed for compression methods, a teacher and the like has an effect in some run. No Hydra here."""

from collections.abc import Iterable, Iterator, Sequence

from effdl.config.annotations import choices, conforms, describe, show
from effdl.config.instantiate import keywords, locate
from effdl.config.overrides import key_of
from effdl.config.schema import LEVELS, SHARED
from effdl.config.types import ReadIf
from effdl.utils.errors import UserError


def check_effects(overrides: list[str], configs: Iterable[dict]) -> None:
    """Refuse methods, keys of methods and teachers that were typed and turn nothing on.

    A knob that is typed as null says that it is meant so, as the first job of ``prune=null,0.5`` does.

    Args:
        overrides: as typed.
        configs: plain values of the run's config, or of the jobs of a sweep that have all values between them, with
            the steps that are off. They are looked at only if something is to be checked.

    Raises:
        UserError: names what was typed, and the knob that it needs.
    """
    typed = {key_of(text) for text in overrides}
    if not any(key.partition(".")[0] in ("compression", "teacher") for key in typed) and "@teacher=" not in str(
        overrides
    ):
        return
    configs = list(configs)
    for text, name in _methods(overrides, configs):
        nodes = [config["compression"][name] for config in configs if name in config["compression"]]
        if not nodes or any(node.get("level") for node in nodes) or f"compression.{name}.level" in typed:
            continue
        knob = nodes[0].get("stage")
        if knob not in LEVELS:
            raise UserError(f"{text}: {name} does nothing without compression.{name}.level=...")
        if knob not in typed:
            raise UserError(
                f"{text}: {name} does nothing without {knob}=... (`effdl list {name}` says what it takes; with "
                f"{knob}=null it is left off)"
            )
        values = [config[knob] for config in configs]
        if key_of(text) != "compression" and all(values):
            raise UserError(f"{text} has no effect: {name} does not take {knob}={show(values[0])}")
    _check_teacher(overrides, configs, "distill" in typed)


def check_read(overrides: list[str], configs: Sequence[dict]) -> None:
    """Refuse keys that were typed and that nothing reads, since another key has a value with which it does not.

    Args:
        configs: as for `check_effects`, without the steps that are off. What they name is imported.

    Raises:
        UserError: names what was typed, and the key and value that leave it unread.
    """
    for text in overrides:
        path, _, key = key_of(text).rpartition(".")
        nodes = [node for config in configs if (node := _node(config, path))]
        unread = [(node, rule) for node in nodes if (rule := _rule(path, node, key)) and not _met(rule, node)]
        if unread and len(unread) == len(nodes):
            node, rule = unread[0]
            others = " and ".join(f"{path}.{name}={show(node.get(name))}" for name in rule.fits)
            needs = ", or ".join(
                f"{name}={' or '.join(choices(fits)) or describe(fits)}" for name, fits in rule.fits.items()
            )
            raise UserError(f"{text} has no effect with {others} (it is read with {needs})")


def _node(config: dict, path: str) -> dict | None:
    """The node of an option in a config; None if there is none."""
    node: object = config
    for name in path.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, dict) and "_target_" in node else None


def _rule(path: str, node: dict, key: str) -> ReadIf | None:
    """What the annotation of a key says about when it is read."""
    shared = SHARED.get(path.partition(".")[0])
    functions = [node["_target_"], *([shared] if isinstance(shared, str) else [])]
    metadata = (getattr(keywords(locate(name)).get(key), "__metadata__", ()) for name in functions)
    return next((entry for entries in metadata for entry in entries if isinstance(entry, ReadIf)), None)


def _met(rule: ReadIf, node: dict) -> bool:
    return any(conforms(node.get(name), fits) for name, fits in rule.fits.items())


def _methods(overrides: list[str], configs: Sequence[dict]) -> Iterator[tuple[str, str]]:
    """What was typed about compression methods: each override with the name of one."""
    for text in overrides:
        key = key_of(text)
        if key == "compression" and text.startswith("compression="):
            yield from ((text, name) for name in dict.fromkeys(name for c in configs for name in c["compression"]))
        elif key.startswith("compression."):
            yield text, key.split(".")[1]


def _check_teacher(overrides: list[str], configs: Sequence[dict], distilled: bool) -> None:
    """Refuse (UserError) a teacher of which nobody learns, unless `distill` was typed as null."""
    text = next((text for text in overrides if "@teacher=" in text or key_of(text).startswith("teacher.")), None)
    levels = [node.get("level") for config in configs for node in config["compression"].values()]
    if text is None or "teacher" in levels or (distilled and not all(config["distill"] for config in configs)):
        return
    raise UserError(f"{text}: nothing learns from the teacher without distill=teacher")
