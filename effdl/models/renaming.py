"""How libraries name the tensors of the same network: from the names of one to those of another.

A naming has a rule for each part of a network: a pattern of the beginning of a tensor's name, and what the part is
called here. Two namings of a family call the same part the same, which leads from one to the other. A ``#`` stands for
the number of a block: libraries count them through, or by stage and block, but all in the same order.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class _Naming:
    """Names of a family's tensors.

    Args:
        title: whose names they are, for messages.
        rules: pattern and part; the first that fits is taken. Groups of a pattern are the numbers of a block.
    """

    title: str
    rules: tuple[tuple[str, str], ...]

    def parts(self, names: Iterable[str]) -> dict[str, str]:
        """For each name that has a rule, the name of its part."""
        found = {}
        for name in names:
            for pattern, part in self.rules:
                if match := re.match(rf"(?:{pattern})(?=\.)", name):
                    found[name] = tuple(map(int, match.groups())), part, name[match.end() :]
                    break
        blocks = sorted({numbers for numbers, _, _ in found.values() if numbers})
        number = {numbers: str(count) for count, numbers in enumerate(blocks)} | {(): "#"}
        return {name: part.replace("#", number[numbers]) + rest for name, (numbers, part, rest) in found.items()}


_RESNET = (
    _Naming(
        "effdl's ResNet",
        (
            ("0", "stem.conv"),
            ("1", "stem.bn"),
            (r"(\d+)\.shortcut", "block#.shortcut"),
            (r"(\d+)(?=\.(?:conv|bn)\d)", "block#"),
            (r"\d+", "head"),
        ),
    ),
    _Naming(
        "the ResNet of torchvision, pytorch-cifar or akamaster",
        (
            ("conv1", "stem.conv"),
            ("bn1", "stem.bn"),
            (r"layer(\d+)\.(\d+)\.(?:downsample|shortcut)", "block#.shortcut"),
            (r"layer(\d+)\.(\d+)", "block#"),
            ("fc|linear", "head"),
        ),
    ),
)
_EFFICIENTNET = (
    _Naming(
        "timm's EfficientNet",
        (
            ("conv_stem", "stem.conv"),
            ("bn1", "stem.bn"),
            ("conv_head", "head.conv"),
            ("bn2", "head.bn"),
            ("classifier", "classifier"),
            (r"blocks\.(\d+)\.(\d+)\.se\.conv_reduce", "block#.se.reduce"),
            (r"blocks\.(\d+)\.(\d+)\.se\.conv_expand", "block#.se.expand"),
            (r"blocks\.(\d+)\.(\d+)\.conv_dw", "block#.depthwise.conv"),
            (r"blocks\.(0)\.(\d+)\.bn1", "block#.depthwise.bn"),  # blocks of the first stage do not expand
            (r"blocks\.(0)\.(\d+)\.conv_pw", "block#.project.conv"),
            (r"blocks\.(0)\.(\d+)\.bn2", "block#.project.bn"),
            (r"blocks\.(\d+)\.(\d+)\.conv_pw", "block#.expand.conv"),
            (r"blocks\.(\d+)\.(\d+)\.bn1", "block#.expand.bn"),
            (r"blocks\.(\d+)\.(\d+)\.bn2", "block#.depthwise.bn"),
            (r"blocks\.(\d+)\.(\d+)\.conv_pwl", "block#.project.conv"),
            (r"blocks\.(\d+)\.(\d+)\.bn3", "block#.project.bn"),
        ),
    ),
    _Naming(
        "lukemelas's EfficientNet, whose padding is that of timm's tf_ models",
        (
            ("_conv_stem", "stem.conv"),
            ("_bn0", "stem.bn"),
            ("_conv_head", "head.conv"),
            ("_bn1", "head.bn"),
            ("_fc", "classifier"),
            (r"_blocks\.(\d+)\._se_reduce", "block#.se.reduce"),
            (r"_blocks\.(\d+)\._se_expand", "block#.se.expand"),
            (r"_blocks\.(\d+)\._expand_conv", "block#.expand.conv"),
            (r"_blocks\.(\d+)\._bn0", "block#.expand.bn"),
            (r"_blocks\.(\d+)\._depthwise_conv", "block#.depthwise.conv"),
            (r"_blocks\.(\d+)\._bn1", "block#.depthwise.bn"),
            (r"_blocks\.(\d+)\._project_conv", "block#.project.conv"),
            (r"_blocks\.(\d+)\._bn2", "block#.project.bn"),
        ),
    ),
)
FAMILIES = (_RESNET, _EFFICIENTNET)


def renamings(found: Iterable[str], wanted: Iterable[str]) -> Iterator[tuple[dict[str, str], str]]:
    """Every way to give tensors of a file the names of a model's.

    Args:
        found: names in the file.
        wanted: names in the model.

    Yields:
        For each name of the file that has a rule the model's name of it (a part that the model has not keeps its own
        name); and whose names the file has.
    """
    found, wanted = list(found), list(wanted)
    for namings in FAMILIES:
        for here in namings:
            ours = here.parts(wanted)
            back = {part: name for name, part in ours.items()}
            if len(back) != len(wanted):  # not of this family
                continue
            for there in namings:
                theirs = there.parts(found)
                if theirs and len(set(theirs.values())) == len(theirs):
                    yield {name: back.get(part, part) for name, part in theirs.items()}, there.title
