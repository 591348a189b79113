"""What a measured speed-up says, beside the one that the operations predict: a sentence."""

from effdl.measure.ratio import FASTER, NO_DIFFERENCE, SLOWER

# A layer that takes less time than this (microseconds) is mostly overhead: eager PyTorch dispatches an operator in 5
# to 10, and a layer comes with its norm and activation; ONNX Runtime needs 1 to 2 for a kernel and what is around it.
_START_US = {"pytorch-eager": 30.0, "other": 5.0}
_LANES = {"avx512f": 16, "avx2": 8, "asimd": 4}  # float32 numbers that an instruction works on, by CPU flag
_NOISE = 0.1  # ratios this close are equal
_WIDE = 1.5  # a ratio of high to low above which no reason is looked for


def verdict(before: dict, after: dict, facts: dict) -> str:
    """A sentence: what the measurement shows, its interval, what is predicted, and the likely reason of a difference.

    Args:
        before: row of the dense model, with ``macs`` and ``macs_nonzero``.
        after: row of a model that took turns with it, with these and the keys of `effdl.measure.ratio.in_turns`;
            ``latency_note`` has the reason why a time is missing.
        facts: ``cpu_flags``, names from /proc/cpuinfo (empty: unknown), and ``layers``, the model's weight layers.
    """
    if after.get("latency_ms") is None:
        return f"not timed: {after.get('latency_note') or 'no latency was measured'}"
    if after["speedup"] is None:
        return "not compared: " + (
            "each run takes so long that there were too few" if after["dense_latency_ms"] else "there is no dense model"
        )
    if not after["macs_nonzero"]:
        return f"{_shown(after)}; no weight is left"
    predicted, integers = before["macs_nonzero"] / after["macs_nonzero"], _integers(after)
    expected = f"MACs predict {predicted:.2f}x" + (", 8-bit integers up to 4x more" if integers > 1 else "")
    return f"{_shown(after)}; {expected}: {_reason(before, after, facts)}"


def _shown(row: dict) -> str:
    """What the measurement shows, and under which conditions."""
    interval, equals = f"({row['speedup_low']:.2f} to {row['speedup_high']:.2f})", row["speedup_resolution"]
    own, dense = row["latency_runtime"], row["dense_latency_runtime"]
    runtimes = own if own == dense else f"{own} against {dense}"
    threads, images = (
        f"{count} {noun}{'s' if count > 1 else ''}"
        for count, noun in ((row["latency_threads"], "thread"), (row["latency_batch"], "image"))
    )
    conditions = [runtimes, row["latency_device"], row["latency_layout"], threads, images]
    found = {
        FASTER: f"{row['speedup']:.2f}x as fast {interval} as the dense model",
        SLOWER: f"slower, {row['speedup']:.2f}x as fast {interval} as the dense model",
        NO_DIFFERENCE: f"{NO_DIFFERENCE} from the dense model {interval}, its own copy is up to {equals:.2f}x",
    }[row["speedup_shown"]]
    return f"{found}, {row['speedup_rounds']} rounds in turns, {', '.join(filter(None, conditions))}"


def _reason(before: dict, after: dict, facts: dict) -> str:
    """The likely reason why the measured speed-up is not the predicted one, if the interval shows that it is not."""
    low, high = after["speedup_low"], after["speedup_high"]
    integers = _integers(after)
    computed, not_zero = (integers * before[key] / after[key] for key in ("macs", "macs_nonzero"))
    if high > _WIDE * low:
        return "the times vary too much to tell"
    if _covers(low, high, not_zero):
        return "as predicted"
    if _covers(low, high, computed):
        return "dense kernels do not skip masked zeros"
    if low > computed:
        return "the smaller model also moves less memory" if computed > integers else "operations do not explain it"
    if integers == 1 and after.get("weight_bits", 32) <= 8:
        return "no layer ran in 8-bit integers, and quantizing in floats takes time besides"
    if integers > 1 and facts["cpu_flags"] and not _has_vnni(facts["cpu_flags"]):
        return "this CPU has no 8-bit dot products (VNNI), so that narrow layers gain nothing from int8"
    if _starts(after, facts["layers"]):
        each = 1e3 * after["latency_ms"] / facts["layers"]
        return f"overhead-bound, {each:.0f} µs per layer are mostly the start of kernels"
    if integers > 1:
        return "what is around the products (memory, requantizing) does not get faster, least in narrow layers"
    lanes = next((lanes for flag, lanes in _LANES.items() if flag in facts["cpu_flags"]), None)
    blocks = f"kernels work on {lanes} channels at a time, and " if lanes else ""
    return f"memory-bound or narrow: {blocks}layers of few channels do fewer MACs for every byte they move"


def _covers(low: float, high: float, ratio: float) -> bool:
    """Whether an interval contains a ratio, or nearly."""
    return low <= ratio * (1 + _NOISE) and high >= ratio * (1 - _NOISE)


def _integers(row: dict) -> float:
    """How many times more 8-bit integers than float32 numbers an instruction takes, if a model was run in them."""
    return 4.0 if "int8" in row["latency_runtime"] else 1.0


def _has_vnni(flags: set[str]) -> bool:
    """Whether a CPU multiplies and adds 8-bit integers in one instruction (names of x86 and of Arm)."""
    return bool(set(flags) & {"avx512_vnni", "avx_vnni", "asimddp", "i8mm"})


def _starts(row: dict, layers: int | None) -> bool:
    """Whether starting the kernels takes most of the time of the layers."""
    if not layers:
        return False
    limit = _START_US["pytorch-eager" if row["latency_runtime"].startswith("pytorch-eager") else "other"]
    return 1e3 * row["latency_ms"] / layers < limit
