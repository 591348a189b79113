"""What a compression step must bring by its kind, and what must still hold after the steps that follow it."""

from effdl.compression.method import Kind


def violations(before: list[dict], after: list[dict]) -> list[str]:
    """What a model lost between two stages, in words; empty if all that was there still holds.

    Zeros may only become more and bits fewer, layer by layer, and MACs fewer in all. A layer whose shape a structural
    step has changed is not compared: such a step comes before masks and quantizers.

    Args:
        before, after: rows of the stored models' layers, as `measure.layers.per_layer` makes them.
    """
    now, problems = {row["name"]: row for row in after}, []
    for row in before:
        later = now.get(row["name"])
        if later is None or later["shape"] != row["shape"]:
            continue
        for key, what in (
            ("weights_nonzero", "non-zero weights"),
            ("weight_bits", "bits a weight"),
            ("activation_bits", "bits an input"),
        ):
            if later[key] > row[key]:
                problems.append(f"{row['name']} has {later[key]} {what}, had {row[key]}")
    sums = {key: (_total(before, key), _total(after, key)) for key in ("weights", "weights_nonzero", "macs")}
    if sums["macs"][1] > sums["macs"][0]:
        problems.append("there are {1:,} MACs, were {0:,}".format(*sums["macs"]))
    if sums["weights"][0] == sums["weights"][1] and sums["weights_nonzero"][1] > sums["weights_nonzero"][0]:
        problems.append("there are {1:,} non-zero weights, were {0:,}".format(*sums["weights_nonzero"]))
    return problems


def unkept(kind: Kind | None, before: list[dict], after: list[dict]) -> str | None:
    """What a step should have done by its kind and did not, in words; None if it did, or if its kind promises nothing.

    A method that sets weights to zero without a mask, for instance, loses the zeros in its own fine-tuning.

    Args:
        before, after: as for `violations`.
    """
    zeros = [sum(row["weights"] - row["weights_nonzero"] for row in rows) for rows in (before, after)]
    shapes, bits = (
        [[tuple(row[key] for key in ("name", *keys)) for row in rows] for rows in (before, after)]
        for keys in (("shape",), ("weight_bits", "activation_bits"))
    )
    if kind == "mask" and zeros[1] <= zeros[0]:
        return f"a method of the kind mask leaves zeros: there were {zeros[0]:,}, there are {zeros[1]:,}"
    if kind == "structure" and shapes[0] == shapes[1]:
        return "a method of the kind structure changes the shapes of layers: all are as they were"
    if kind in ("values", "conversion") and bits[0] == bits[1]:
        return f"a method of the kind {kind} stores values in fewer bits: all are as they were"
    return None


def summary(rows: list[dict], dense: list[dict]) -> str:
    """What a stored model keeps of the dense one, in words, for the log."""
    weights, nonzero = _total(rows, "weights"), _total(rows, "weights_nonzero")
    bits = sum(row["weights"] * row["weight_bits"] for row in rows) / weights
    return (
        f"{1 - nonzero / weights:.2%} of the weights zero, {bits:.3g} bits a weight, "
        f"{weights / _total(dense, 'weights'):.2%} of the dense model's weights, "
        f"{_total(rows, 'macs') / _total(dense, 'macs'):.2%} of its MACs"
    )


def _total(rows: list[dict], key: str) -> int:
    """Sum over layers."""
    return sum(row[key] for row in rows)
