"""Write the table of committed experiments in configs/experiment/README.md from what their files report.

    python scripts/update_experiments.py

Nothing is measured here: `scripts/state_results.py` has put the values of runs into JSON files beside the experiments,
and `effdl reproduce` checks them. One row per accuracy; a difference in points where the file reports one.
"""

import sys

from pages import markdown, replace_part

from effdl.config.experiments import experiments, stated
from effdl.report.reproduction.claims import TOTAL, Claim, stated_claims
from effdl.report.table import UNKNOWN, grams, percent, size, watt_hours

COLUMNS = ("effdl reproduce ...", "stage", "test top-1", "paper", "size on disk", "time", "energy", "CO2eq")


def accuracy(claim: Claim) -> str:
    """An accuracy, or a difference of two."""
    return f"{100 * claim.value:+.2f} points" if claim.relative_to else percent(claim.value)


def rows(name: str, found: list[Claim]) -> list[list[str]]:
    """The rows of one experiment; what a run cost stands in the row of its last stage."""
    own = {claim.subject: claim for claim in found if not claim.paper}
    papers = {claim.subject: claim for claim in found if claim.paper}
    tops = [claim for claim in own.values() if claim.metric == "top1"]
    lines = []
    for number, claim in enumerate(tops):
        last = number + 1 == len(tops) or tops[number + 1].overrides != claim.overrides

        def cell(stage: str, metric: str, write, shown: bool = True, claim: Claim = claim) -> str:
            value = own.get((claim.overrides, stage, metric, None))
            return write(value.value) if value and shown else ""

        paper = papers.get(claim.subject)
        lines.append(
            [
                " ".join(["`" + name, *claim.overrides]) + "`",
                claim.stage + (f" - {claim.relative_to}" if claim.relative_to else ""),
                accuracy(claim),
                accuracy(paper) if paper else UNKNOWN,
                cell(claim.stage, "size_bytes", size),
                cell(TOTAL, "duration_s", "{:,.0f} s".format, last),
                cell(TOTAL, "energy_kwh", watt_hours, last),
                cell(TOTAL, "co2eq_g", grams, last),
            ]
        )
    return lines


def main() -> int:
    """Rewrite the part; returns the exit code."""
    lines, sources, papers = [], set(), []
    for name, file in experiments(None).items():
        found = stated_claims(stated(file))
        own = {claim.source for claim in found if not claim.paper}
        if own:
            lines += rows(name, found)
            sources |= own
            papers += [f"{name}: {claim.source}" for claim in found if claim.paper]
    conditions = f"Measured {'; '.join(sorted(sources))}. Papers: {'; '.join(dict.fromkeys(papers))}."
    replace_part("configs/experiment/README.md", "experiments", f"{markdown(COLUMNS, lines)}\n\n{conditions}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
