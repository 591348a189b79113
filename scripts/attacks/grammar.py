"""Every forgery by name: what the storage format lets a file say, with values that are false, hostile or huge."""

from functools import partial
from typing import Any

from attacks import forgeries as change
from attacks.forge import safetensors

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


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:30]}... ({len(text)} characters)"


_KINDS = (
    *(["palette", size] for size in (-1, 0, 257, 2**40, None, "8", 1.5)),
    *(["grid", bits, "float32", [1]] for bits in (-1, 0, 9, 64, True, "8", None)),
    *(["grid", 8, "float32", shape] for shape in ([2**40], [-1], "a", [1] * 70, [0], None)),
    *(["grid", 8, dtype, [1]] for dtype in ("nope", "load", "int8", "bool", 5)),
    *(["other"], [5], ["palette"], ["grid"]),
)
_STORED = ("dense", "sparse")
_MODELS = (None, [], "a", 5, {}, {"config": None})
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
    "one layer of 4 GiB": ([change.linear(1 << 15, 1 << 15)], 4 << 30),
    "one layer of 2**48": ([change.linear(1 << 24, 1 << 24)], 4 << 48),
    "a layer just beyond twice the model": ([change.linear(1 << 10, 1 << 11)], 8 << 20),
    "100,000 layers": ([change.linear(64, 8)] * 100_000, 0),
    "sequences in 8 sequences": ([change.deep(8)], 0),
    "sequences in 200 sequences": ([change.deep(200)], 0),
    "a module of another name": ([change.linear(64, 8, "nope")], 0),
    "the whole model": ([change.linear(64, 8, "")], 0),
    "a type of torch": ([{"name": "1", "type": "torch.nn.LSTM", "input_size": 8, "hidden_size": 8}], 0),
    "a type of Python": ([{"name": "1", "type": "builtins.int"}], 0),
    "no list": ({"a": 1}, 0),
    "a list of numbers": ([1, 2], 0),
    "a name that is none": ([{**change.linear(64, 8), "name": 5}], 0),
    "negative sizes": ([change.linear(-64, -8)], 0),
}
FORGERIES: dict[str, change.Change] = {
    **{f"size {_short(value)} in a shape": partial(change.shape, value) for value in _LENGTHS},
    **{
        f"shape {_short(v)}": partial(change.tensor, 2, v)
        for v in ([], [1] * 100, [2**20, 2**20], "a", None, 5, {}, [[8], 64])
    },
    **{f"dtype {value!r}": partial(change.tensor, 1, value) for value in _DTYPES},
    **{f"tensor name {_short(value)}": partial(change.tensor, 0, value) for value in _NAMES},
    **{f"kind {value!r}": partial(change.tensor, 3, value) for value in ("other", "", 5, None, "dense", "sparse")},
    **{f"values {_short(v)}, {kind}": partial(change.values, v, kind) for v in _KINDS for kind in ("dense", "sparse")},
    **{f"length {_short(value)} of a stream": partial(change.coded_length, value) for value in _LENGTHS},
    **{f"step {value!r}": partial(change.step, value) for value in _STEPS},
    **{
        f"{depth} times {step}": partial(change.nested, step, depth)
        for step in ("lzma", "deflate")
        for depth in (10, 300)
    },
    **{f"index of {name}": partial(change.index_text, text) for name, text in _TEXTS.items()},
    **{f"index that decodes to {size >> 20} MiB": partial(change.index_bomb, size) for size in (16 << 20, 128 << 20)},
    **{
        f"stream of {size >> 20} MiB by {step}": partial(change.bombed, step, size, "bytes", None)
        for step in ("lzma", "deflate")
        for size in (64 << 20, 128 << 20)
    },
    **{
        f"mask of {size >> 20} MiB by {step}": partial(change.bombed, step, size, "mask", [size, 8])
        for step in ("lzma", "deflate")
        for size in (64 << 20, 128 << 20)
    },
    **{f"bomb in a bomb of {size >> 20} MiB": partial(change.twice_coded, size) for size in (64 << 20, 128 << 20)},
    **{f"gaps of {size >> 20} MiB": partial(change.wide_gaps, size) for size in (1 << 20, 16 << 20, 64 << 20)},
    **{f"bits of {size >> 20} MiB": partial(change.wide_pack, size) for size in (1 << 20, 64 << 20)},
    **{
        f"description {_short(value)}": partial(change.model, value)
        for value in (None, [], "a", 5, {}, {"config": None})
    },
    **{
        f"{key} {_short(v)}": partial(change.described, key, v, 0)
        for key in ("channels", "image_size", "classes")
        for v in _NUMBERS
    },
    **{
        f"hidden {_short(v)}": partial(change.config, "hidden", v, 0)
        for v in ("a", None, [], [-1], [0], [1.5], [[8]], [10**30], [2**40], [1] * 100_000)
    },
    "hidden 20000, 20000": partial(
        change.config, "hidden", [20_000, 20_000], 4 * (64 * 20_000 + 20_000**2 + 10 * 20_000)
    ),
    "hidden 10**9": partial(change.config, "hidden", [10**9], 4 * 75 * 10**9),
    **{
        f"width {_short(value)}": partial(change.config, "width", value, 0)
        for value in (-1.0, 0.0, 1e-30, "a", None, float("nan"), float("inf"))
    },
    "width 1e9": partial(change.config, "width", 1e9, 4 * 75 * 8 * 10**9),
    **{
        f"option {value!r}": partial(change.config, "option", value, 0)
        for value in ("nope", 5, None, ["mlp"], "../mlp", "timm", "torchvision")
    },
    **{
        f"_target_ {value}": partial(change.config, "_target_", value, 0)
        for value in ("os.system", "builtins.print", "effdl.cli.main.main", 5)
    },
    **{f"a key {key} of the config": partial(change.config, key, 1, 0) for key in ("weights", "nope", "_partial_")},
    **{f"structure of {name}": partial(change.structure, *value) for name, value in _STRUCTURES.items()},
    "a tensor missing": change.refused(lambda forgery, random: forgery.tensors.pop(random.randrange(4))),
    "a tensor twice": change.refused(lambda forgery, random: forgery.tensors.append(forgery.tensors[3])),
    "an empty tensor twice": change.refused(
        lambda forgery, random: forgery.tensors.extend([["e", "float32", [0], "dense"]] * 2)
    ),
    "a tensor too many": change.refused(
        lambda forgery, random: forgery.tensors.append(["nope", "float32", [0], "dense"])
    ),
    "a stream twice": change.refused(lambda forgery, random: forgery.streams.append(forgery.streams[0])),
    "a stream missing": change.refused(lambda forgery, random: forgery.streams.pop(random.randrange(5))),
    "a stream too many": change.refused(lambda forgery, random: forgery.streams.append(("nope", b"abc", []))),
    "another format": change.refused(lambda forgery, random: setattr(forgery, "format", "model-3")),
    "another checksum": change.refused(lambda forgery, random: forgery.header.update(sha256="0" * 64)),
    **{
        f"header's index {_short(v)}": change.refused(lambda forgery, random, v=v: forgery.header.update(index=v))
        for v in _NUMBERS
    },
    "an empty file": partial(change.raw, bytes),
    "a header of 2**62 bytes": partial(change.raw, lambda: (1 << 62).to_bytes(8, "little") + b"{}"),
    "a header of 50 MB": partial(
        change.raw, lambda: safetensors({"index": b"", "data": b""}, {"effdl": "x" * 50_000_000})
    ),
    "a plain file without tensors": partial(change.raw, lambda: safetensors({}, {})),
    "a plain file of other tensors": partial(change.raw, lambda: safetensors({"a": bytes(8)}, {})),
    "no index": partial(change.raw, lambda: safetensors({"data": bytes(8)}, {"effdl": "{}"})),
    "metadata that are no JSON": partial(
        change.raw, lambda: safetensors({"index": b"a", "data": b"b"}, {"effdl": "{"})
    ),
}
