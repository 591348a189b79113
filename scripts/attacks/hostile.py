"""Values that a key may be given by mistake or by malice: as overrides and as plain words."""

# What stands behind KEY= in Hydra's grammar.
OVERRIDES = {
    "null": "null",
    "empty": "",
    "empty quotes": "''",
    "a space": "' '",
    "nan": "nan",
    "inf": "inf",
    "-inf": "-inf",
    "-1": "-1",
    "0": "0",
    "-0.0": "-0.0",
    "a half": "0.5",
    "one and a half": "1.5",
    "2": "2",
    "1e308": "1e308",
    "1e-300": "1e-300",
    "10**30": str(10**30),
    "-10**30": str(-(10**30)),
    "a billion": str(10**9),
    "hexadecimal": "0x10",
    "true": "true",
    "False": "False",
    "None": "None",
    "a word": "abc",
    "a long text": "x" * 5000,
    "[]": "[]",
    "[1]": "[1]",
    "a nested list": "[[1,2],[3]]",
    "a list of null": "[null]",
    "a long list": f"[{','.join(['1'] * 2000)}]",
    "{}": "{}",
    "a dict": "{a:1}",
    "a nested dict": "{a:{b:{c:[1]}}}",
    "_target_": "{_target_:builtins.int}",
    "_target_ of nothing": "{_target_:nope.nope}",
    "no such key": "${nope}",
    "no such variable": "${oc.env:NOPE}",
    "no such resolver": "${nope:1}",
    "an open interpolation": "'${nope'",
    "itself": "${seed}${epochs}",
    "???": "???",
    "an open quote": "'",
    "an open double quote": '"',
    "an open bracket": "[",
    "a comma": "1,2",
    "an empty choice": "choice()",
    "a range": "range(0,3)",
    "an empty range": "range(3,1)",
    "an interval": "interval(0,1)",
    "a glob": "glob(*)",
    "lines": "'a\nb'",
    "an escape sequence": "'\x1b[31m'",
    "unicode": "'ü\u202e😀'",
    "no UTF-8": "\udcff",
    "a path that is not there": "nowhere/at/all",
    "below a file": "f/x",
    "a file": "f",
    "a folder": "d",
    "/proc": "/proc/nope/x",
    "a name too long": "n" * 300,
    "a percent": "%s%n",
    "equals": "a=b",
}

# What stands where a command takes a word.
WORDS = {
    name: text.strip("'") if name not in ("an open quote", "a space") else text
    for name, text in OVERRIDES.items()
    if name not in ("empty quotes", "a comma", "a range", "itself")
}
HUGE = 2**63  # no whole number of a config can mean this much


def is_absurd(value: object) -> bool:
    """Whether a number, or one in a list, is none that a computation can use: not finite, or beyond 64 bits."""
    if isinstance(value, list):
        return any(map(is_absurd, value))
    if isinstance(value, bool):
        return False
    if isinstance(value, float):
        return value != value or abs(value) == float("inf")
    return isinstance(value, int) and abs(value) >= HUGE
