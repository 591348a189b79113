"""Changes to an honest stored model, by name: each makes one of its statements false, hostile or huge."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from attacks.forge import HIDDEN, Forgery, bomb, coded, description, safetensors

_NUMBERS = (
    -1,
    0,
    1,
    1.5,
    2**31,
    2**40,
    2**47,
    2**62,
    10**30,
    "8",
    None,
    True,
    [8],
    {"a": 1},
    float("nan"),
    float("inf"),
)
_LENGTHS = (*_NUMBERS, 7, 9, 1 << 28)


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


def _tensor(position: int, value: Any, made: Made, random: Random) -> None:
    """Another name (0), dtype (1), shape (2) or kind (3) of a tensor."""
    random.choice(made.forgery.tensors)[position] = value


def _shape(value: Any, made: Made, random: Random) -> None:
    made.forgery.tensors[0][2] = [value, 64]


def _values(values: list, kind: str, made: Made, random: Random) -> None:
    made.forgery.tensors[random.choice((0, 2))][3:] = [kind, *values]
    made.must_be_refused = True


def _coded_length(value: Any, made: Made, random: Random) -> None:
    made.forgery.streams[1] = ("float32.0", made.forgery.streams[1][1], [["deflate", value]])


def _step(step: Any, made: Made, random: Random) -> None:
    name, data, _ = made.forgery.streams[0]
    made.forgery.streams[0] = (name, data, [[step, 74]])


def _nested(step: str, depth: int, made: Made, random: Random) -> None:
    """A stream coded many times over."""
    data, steps = bytes(74), []
    for _ in range(depth):
        data, more = coded(data, step)
        steps = more + steps
    made.forgery.streams[0] = ("mask", data, steps)


def _bomb(step: str, size: int, stream: str, shape: list[int] | None, made: Made, random: Random) -> None:
    """Few bytes that become many; as a stream of its own, or as the mask of a tensor of this shape."""
    data = bomb(step, size)
    made.forgery.streams = [entry for entry in made.forgery.streams if entry[0] != stream]
    made.forgery.streams.append((stream, data, [[step, size]]))
    if shape:
        made.forgery.tensors[0][2:] = [shape, "sparse"]
    made.must_be_refused = True


def _twice_coded(size: int, made: Made, random: Random) -> None:
    """A bomb in a bomb."""
    inner = bomb("lzma", size)
    data, steps = coded(inner, "lzma")
    made.forgery.streams.append(("bytes", data, [*steps, ["lzma", size]]))
    made.must_be_refused = True


def _wide_gaps(size: int, made: Made, random: Random) -> None:
    """A mask of which every byte stands for 255 zeros: 32 times as large as its distances."""
    zeros = 255 * (size - 1)
    zeros -= zeros % 8
    last = zeros % 255
    data, steps = coded(b"\xff" * (zeros // 255) + bytes([last]), "lzma")
    made.forgery.streams[0] = ("mask", data, [*steps, ["gaps", zeros // 8]])
    made.forgery.tensors[0][2:] = [[zeros - 80, 1], "sparse"]
    made.must_be_refused = True


def _wide_pack(size: int, made: Made, random: Random) -> None:
    """Bits that become bytes."""
    data, steps = coded(bytes(size), "lzma")
    made.forgery.streams.append(("symbols.1", data, [*steps, ["pack1", 8 * size]]))
    made.must_be_refused = True


def _index_bomb(step_size: int, made: Made, random: Random) -> None:
    """An index of nothing but zeros."""
    made.forgery.index, made.forgery.index_length = bomb("lzma", step_size), step_size
    made.must_be_refused = True


def _index_text(text: str, made: Made, random: Random) -> None:
    data, _ = coded(text.encode(), "lzma")
    made.forgery.index, made.forgery.index_length = data, len(text.encode())
    made.must_be_refused = True


def _model(value: Any, made: Made, random: Random) -> None:
    made.forgery.model = value


def _described(key: str, value: Any, claimed: int, made: Made, random: Random) -> None:
    """Another value in the description of the model."""
    made.forgery.model = {**description(), key: value}
    made.claimed_bytes = max(made.claimed_bytes, claimed)


def _config(key: str, value: Any, claimed: int, made: Made, random: Random) -> None:
    """Another key of the model's config."""
    made.forgery.model = description(**{key: value})
    made.claimed_bytes = max(made.claimed_bytes, claimed)


def _structure(entries: Any, claimed: int, made: Made, random: Random) -> None:
    made.forgery.model = {**description(), "structure": entries}
    made.claimed_bytes = max(made.claimed_bytes, claimed)


def _refused(change: Callable[[Forgery, Random], None]) -> Change:
    """A change after which a reader must not accept the file."""

    def changed(made: Made, random: Random) -> None:
        change(made.forgery, random)
        made.must_be_refused = True

    return changed


def _raw(data: Callable[[], bytes], made: Made, random: Random) -> None:
    made.raw, made.must_be_refused = data(), True


def linear(inputs: int, outputs: int, name: str = "1") -> dict:
    """A layer in the description of a structure."""
    return {"name": name, "type": "torch.nn.Linear", "in_features": inputs, "out_features": outputs, "bias": True}


def _deep(depth: int) -> dict:
    """Sequences in sequences."""
    part: dict = {"type": "torch.nn.Identity"}
    for _ in range(depth):
        part = {"type": "torch.nn.Sequential", "children": [["0", part]]}
    return {"name": "1", **part}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:30]}... ({len(text)} characters)"


_KIND_VALUES = (
    *(["palette", size] for size in (-1, 0, 257, 2**40, None, "8", 1.5)),
    *(["grid", bits, "float32", [1]] for bits in (-1, 0, 9, 64, True, "8", None)),
    *(["grid", 8, "float32", shape] for shape in ([2**40], [-1], "a", [1] * 70, [0], None)),
    *(["grid", 8, dtype, [1]] for dtype in ("nope", "load", "int8", "bool", 5)),
    *(["other"], [5], ["palette"], ["grid"]),
)
_DTYPES = (
    "float64",
    "int8",
    "complex128",
    "bool",
    "float8_e4m3fn",
    "quint8",
    "bits8",
    "nope",
    "load",
    "Tensor",
    "",
    5,
    None,
)
_NAMES = ("", "n" * 10_000_000, 5, None, ["a"], "1.bias", "nope", "1.weight.x", "..", "\ud800")
_STEPS = ("nope", "", "__class__", 5, None, ["lzma"], "pack0", "pack8", "pack1", "pack7", "gaps", "huffman", "lzma")
_TEXTS = {
    "no JSON": "{",
    "a list": "[]",
    "a number": "5",
    "null": "null",
    "nested lists": "[" * 100_000 + "]" * 100_000,
    "a huge number": f'{{"model": {{}}, "streams": [], "tensors": {"9" * 5000}}}',
    "no keys": "{}",
    "10 MB of spaces": '{"model": {}, "streams": [], "tensors": []}' + " " * 10_000_000,
    "a million tensors": '{"model": {}, "streams": [], "tensors": [' + ",".join(['["a"]'] * 1_000_000) + "]}",
}
_STRUCTURES: dict[str, tuple[Any, int]] = {
    "one layer of 4 GiB": ([linear(1 << 15, 1 << 15)], 4 << 30),
    "one layer of 2**48": ([linear(1 << 24, 1 << 24)], 4 << 48),
    "a layer just beyond twice the model": ([linear(1 << 10, 1 << 11)], 8 << 20),
    "100,000 layers": ([linear(64, 8)] * 100_000, 0),
    "sequences in 8 sequences": ([_deep(8)], 0),
    "sequences in 500 sequences": ([_deep(500)], 0),
    "a module of another name": ([linear(64, 8, "nope")], 0),
    "the whole model": ([linear(64, 8, "")], 0),
    "a type of torch": ([{"name": "1", "type": "torch.nn.LSTM", "input_size": 8, "hidden_size": 8}], 0),
    "a type of Python": ([{"name": "1", "type": "builtins.int"}], 0),
    "no list": ({"a": 1}, 0),
    "a list of numbers": ([1, 2], 0),
    "a name that is none": ([{**linear(64, 8), "name": 5}], 0),
    "negative sizes": ([linear(-64, -8)], 0),
}
FORGERIES: dict[str, Change] = {
    **{f"size {_short(value)} in a shape": partial(_shape, value) for value in _LENGTHS},
    **{
        f"shape {_short(v)}": partial(_tensor, 2, v)
        for v in ([], [1] * 100, [2**20, 2**20], "a", None, 5, {}, [[8], 64])
    },
    **{f"dtype {value!r}": partial(_tensor, 1, value) for value in _DTYPES},
    **{f"tensor name {_short(value)}": partial(_tensor, 0, value) for value in _NAMES},
    **{f"kind {value!r}": partial(_tensor, 3, value) for value in ("other", "", 5, None, "dense", "sparse")},
    **{f"values {_short(v)}, {kind}": partial(_values, v, kind) for v in _KIND_VALUES for kind in ("dense", "sparse")},
    **{f"length {_short(value)} of a stream": partial(_coded_length, value) for value in _LENGTHS},
    **{f"step {value!r}": partial(_step, value) for value in _STEPS},
    **{
        f"{depth} times {step}": partial(_nested, step, depth)
        for step in ("lzma", "deflate")
        for depth in (10, 1000, 20_000)
    },
    **{f"index of {name}": partial(_index_text, text) for name, text in _TEXTS.items()},
    **{f"index that decodes to {size >> 20} MiB": partial(_index_bomb, size) for size in (16 << 20, 256 << 20)},
    **{
        f"stream of {size >> 20} MiB by {step}": partial(_bomb, step, size, "bytes", None)
        for step in ("lzma", "deflate")
        for size in (64 << 20, 512 << 20)
    },
    **{
        f"mask of {size >> 20} MiB by {step}": partial(_bomb, step, size, "mask", [size, 8])
        for step in ("lzma", "deflate")
        for size in (64 << 20, 256 << 20)
    },
    **{f"bomb in a bomb of {size >> 20} MiB": partial(_twice_coded, size) for size in (64 << 20, 512 << 20)},
    **{f"gaps of {size >> 20} MiB": partial(_wide_gaps, size) for size in (1 << 20, 16 << 20, 64 << 20)},
    **{f"bits of {size >> 20} MiB": partial(_wide_pack, size) for size in (1 << 20, 64 << 20)},
    **{f"description {_short(value)}": partial(_model, value) for value in (None, [], "a", 5, {}, {"config": None})},
    **{
        f"{key} {_short(v)}": partial(_described, key, v, 0)
        for key in ("channels", "image_size", "classes")
        for v in _NUMBERS
    },
    **{
        f"hidden {_short(v)}": partial(_config, "hidden", v, 0)
        for v in ("a", None, [], [-1], [0], [1.5], [[8]], [10**30], [2**40], [1] * 100_000)
    },
    "hidden 20000, 20000": partial(_config, "hidden", [20_000, 20_000], 4 * (64 * 20_000 + 20_000**2 + 10 * 20_000)),
    "hidden 10**9": partial(_config, "hidden", [10**9], 4 * 75 * 10**9),
    **{
        f"width {_short(value)}": partial(_config, "width", value, 0)
        for value in (-1.0, 0.0, 1e-30, "a", None, float("nan"), float("inf"))
    },
    "width 1e9": partial(_config, "width", 1e9, 4 * 75 * 8 * 10**9),
    **{
        f"option {value!r}": partial(_config, "option", value, 0)
        for value in ("nope", 5, None, ["mlp"], "../mlp", "timm", "torchvision")
    },
    **{
        f"_target_ {value}": partial(_config, "_target_", value, 0)
        for value in ("os.system", "builtins.print", "effdl.cli.main.main", 5)
    },
    **{f"a key {key} of the config": partial(_config, key, 1, 0) for key in ("weights", "nope", "_partial_")},
    **{f"structure of {name}": partial(_structure, *value) for name, value in _STRUCTURES.items()},
    "a tensor missing": _refused(lambda forgery, random: forgery.tensors.pop(random.randrange(4))),
    "a tensor twice": _refused(lambda forgery, random: forgery.tensors.append(forgery.tensors[3])),
    "an empty tensor twice": _refused(
        lambda forgery, random: forgery.tensors.extend([["e", "float32", [0], "dense"]] * 2)
    ),
    "a tensor too many": _refused(lambda forgery, random: forgery.tensors.append(["nope", "float32", [0], "dense"])),
    "a stream twice": _refused(lambda forgery, random: forgery.streams.append(forgery.streams[0])),
    "a stream missing": _refused(lambda forgery, random: forgery.streams.pop(random.randrange(5))),
    "a stream too many": _refused(lambda forgery, random: forgery.streams.append(("nope", b"abc", []))),
    "another format": _refused(lambda forgery, random: setattr(forgery, "format", "model-3")),
    "another checksum": _refused(lambda forgery, random: forgery.header.update(sha256="0" * 64)),
    **{
        f"header's index {_short(v)}": _refused(lambda forgery, random, v=v: forgery.header.update(index=v))
        for v in _NUMBERS
    },
    "an empty file": partial(_raw, bytes),
    "a header of 2**62 bytes": partial(_raw, lambda: (1 << 62).to_bytes(8, "little") + b"{}"),
    "a header of 50 MB": partial(_raw, lambda: safetensors({"index": b"", "data": b""}, {"effdl": "x" * 50_000_000})),
    "a plain file without tensors": partial(_raw, lambda: safetensors({}, {})),
    "a plain file of other tensors": partial(_raw, lambda: safetensors({"a": bytes(8)}, {})),
    "no index": partial(_raw, lambda: safetensors({"data": bytes(8)}, {"effdl": "{}"})),
    "metadata that are no JSON": partial(_raw, lambda: safetensors({"index": b"a", "data": b"b"}, {"effdl": "{"})),
}
