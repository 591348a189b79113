"""What the energy figures of a run rest on, for people. Standard library only."""


def energy_basis(total: dict) -> str:
    """How the energy of each component is known, and from what; or why it is not.

    Args:
        total: of a run's ``result.json``. Those of earlier versions say how, but not from what.
    """
    energy = total["energy"]
    if energy.get("note"):
        return f"not measured, {energy['note']}"
    basis = energy.get("basis", {})
    parts = {part: f" ({basis[part]})" if part in basis else "" for part in total["source"]}
    return ", ".join(f"{part} {how}{parts[part]}" for part, how in total["source"].items())
