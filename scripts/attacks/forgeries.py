"""Changes to an honest stored model, by name: each makes one of its statements false, hostile or huge."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from attacks.forge import HIDDEN, Forgery, bomb, coded, description


@dataclass
class Made:
    """A forgery under way. `claimed_bytes`: of the tensors of the model that it describes."""

    forgery: Forgery
    claimed_bytes: int = 4 * (HIDDEN * (64 + 1 + 10) + 10)
    must_be_refused: bool = False
    raw: bytes | None = None  # the whole file, if it is not the forgery's

    def write(self, path: Path) -> None:
        """The file."""
        self.forgery.write(path) if self.raw is None else path.write_bytes(self.raw)


Change = Callable[[Made, Random], None]


def tensor(position: int, value: Any, made: Made, random: Random) -> None:
    """Another name (0), dtype (1), shape (2) or kind (3) of a tensor."""
    random.choice(made.forgery.tensors)[position] = value


def shape(value: Any, made: Made, random: Random) -> None:
    made.forgery.tensors[0][2] = [value, 64]


def values(values: list, kind: str, made: Made, random: Random) -> None:
    made.forgery.tensors[random.choice((0, 2))][3:] = [kind, *values]
    made.must_be_refused = True


def coded_length(value: Any, made: Made, random: Random) -> None:
    made.forgery.streams[1] = ("float32.0", made.forgery.streams[1][1], [["deflate", value]])


def step(step: Any, made: Made, random: Random) -> None:
    name, data, _ = made.forgery.streams[0]
    made.forgery.streams[0] = (name, data, [[step, 74]])


def nested(step: str, depth: int, made: Made, random: Random) -> None:
    """A stream coded many times over."""
    data, steps = bytes(74), []
    for _ in range(depth):
        data, more = coded(data, step)
        steps = more + steps
    made.forgery.streams[0] = ("mask", data, steps)


def bombed(step: str, size: int, stream: str, shape: list[int] | None, made: Made, random: Random) -> None:
    """Few bytes that become many; as a stream of its own, or as the mask of a tensor of this shape."""
    data = bomb(step, size)
    made.forgery.streams = [entry for entry in made.forgery.streams if entry[0] != stream]
    made.forgery.streams.append((stream, data, [[step, size]]))
    if shape:
        made.forgery.tensors[0][2:] = [shape, "sparse"]
    made.must_be_refused = True


def twice_coded(size: int, made: Made, random: Random) -> None:
    """A bomb in a bomb."""
    inner = bomb("lzma", size)
    data, steps = coded(inner, "lzma")
    made.forgery.streams.append(("bytes", data, [*steps, ["lzma", size]]))
    made.must_be_refused = True


def wide_gaps(size: int, made: Made, random: Random) -> None:
    """A mask of which every byte stands for 255 zeros: 32 times as large as its distances."""
    zeros = 255 * (size - 1)
    zeros -= zeros % 8
    last = zeros % 255
    data, steps = coded(b"\xff" * (zeros // 255) + bytes([last]), "lzma")
    made.forgery.streams[0] = ("mask", data, [*steps, ["gaps", zeros // 8]])
    made.forgery.tensors[0][2:] = [[zeros - 80, 1], "sparse"]
    made.must_be_refused = True


def wide_pack(size: int, made: Made, random: Random) -> None:
    """Bits that become bytes."""
    data, steps = coded(bytes(size), "lzma")
    made.forgery.streams.append(("symbols.1", data, [*steps, ["pack1", 8 * size]]))
    made.must_be_refused = True


def index_bomb(step_size: int, made: Made, random: Random) -> None:
    """An index of nothing but zeros."""
    made.forgery.index, made.forgery.index_length = bomb("lzma", step_size), step_size
    made.must_be_refused = True


def index_text(text: str, made: Made, random: Random) -> None:
    data, _ = coded(text.encode(), "lzma")
    made.forgery.index, made.forgery.index_length = data, len(text.encode())
    made.must_be_refused = True


def model(value: Any, made: Made, random: Random) -> None:
    made.forgery.model = value


def described(key: str, value: Any, claimed: int, made: Made, random: Random) -> None:
    """Another value in the description of the model."""
    made.forgery.model = {**description(), key: value}
    made.claimed_bytes = max(made.claimed_bytes, claimed)


def config(key: str, value: Any, claimed: int, made: Made, random: Random) -> None:
    """Another key of the model's config."""
    made.forgery.model = description(**{key: value})
    made.claimed_bytes = max(made.claimed_bytes, claimed)


def structure(entries: Any, claimed: int, made: Made, random: Random) -> None:
    made.forgery.model = {**description(), "structure": entries}
    made.claimed_bytes = max(made.claimed_bytes, claimed)


def refused(change: Callable[[Forgery, Random], None]) -> Change:
    """A change after which a reader must not accept the file."""

    def changed(made: Made, random: Random) -> None:
        change(made.forgery, random)
        made.must_be_refused = True

    return changed


def raw(data: Callable[[], bytes], made: Made, random: Random) -> None:
    made.raw, made.must_be_refused = data(), True


def linear(inputs: int, outputs: int, name: str = "1") -> dict:
    """A layer in the description of a structure."""
    return {"name": name, "type": "torch.nn.Linear", "in_features": inputs, "out_features": outputs, "bias": True}


def deep(depth: int) -> dict:
    """Sequences in sequences."""
    part: dict = {"type": "torch.nn.Identity"}
    for _ in range(depth):
        part = {"type": "torch.nn.Sequential", "children": [["0", part]]}
    return {"name": "1", **part}
