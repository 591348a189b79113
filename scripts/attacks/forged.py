"""Forged models: a file may cost no more memory than an honest one of the model that it claims, and little time."""

import shlex
import sys
from pathlib import Path
from random import Random

from attacks.forge import honest
from attacks.forgeries import Made
from attacks.grammar import FORGERIES
from attacks.outcome import CLEAN, SILENT, UNNAMED, Case, Verdict, broken, last_line
from attacks.sandbox import Act, Note, observe, workplace

_LIMIT_S = 10.0
_MORE = 1.5  # times the memory of an honest file
_SLACK_BYTES = 64 << 20  # what loading costs whatever the model
_HONEST = 100_000  # hidden units of the model by which the memory of an honest file is measured


def cases(random: Random, limit: int | None, fixtures: Path) -> list[Case]:
    """Every forgery, and pairs of two changes at once; or a sample."""
    cost = bytes_per_claimed_byte()
    pairs = [(first, second) for first in FORGERIES for second in FORGERIES if first < second]
    chosen = [(name,) for name in FORGERIES] + random.sample(pairs, min(len(FORGERIES), len(pairs)))
    chosen = random.sample(chosen, min(len(chosen), limit)) if limit else chosen
    seed = random.randrange(1 << 30)
    return [_case(names, seed, cost) for names in chosen]


def bytes_per_claimed_byte() -> float:
    """Peak memory of loading an honest file, per byte of its model's tensors."""
    forgery, claimed = honest(_HONEST), 4 * (_HONEST * (64 + 1 + 10) + 10)
    with workplace() as place:
        forgery.write(place / "honest.safetensors")
        seen = observe(loading(place / "honest.safetensors"), place)
    if seen.code:
        raise RuntimeError(f"an honest file cannot be loaded: {seen.text}")
    return seen.peak_bytes / claimed


def _case(names: tuple[str, ...], seed: int, cost: float) -> Case:
    """One forgery: the changes of these names to an honest file."""

    def attempt(place: Path) -> Verdict:
        file = place / "forged.safetensors"
        made = forge(names, seed, file)
        size = file.stat().st_size  # the file itself is read, whatever it claims
        seen = observe(loading(file), place, cpu_s=_LIMIT_S, limit_s=100)
        return judge(seen, made, file.name, room=round(_MORE * cost * made.claimed_bytes) + 4 * size + _SLACK_BYTES)

    made = f"from attacks.forged import *; forge({names!r}, {seed}, Path('forged.safetensors'))"
    load = "import effdl; effdl.load_model('forged.safetensors')"
    return Case("forged models", f"PYTHONPATH=.:scripts python -c {shlex.quote(f'{made}; {load}')}", attempt)


def forge(names: tuple[str, ...], seed: int, file: Path) -> Made:
    """Write an honest file with these changes."""
    made = Made(honest())
    for name in names:
        FORGERIES[name](made, Random(seed))
    made.write(file)
    return made


def judge(seen, made: Made, name: str, room: int) -> Verdict:
    """The verdict on what a reader made of a file."""
    if verdict := broken(seen, room):
        return verdict
    if seen.code == 0:
        return (
            Verdict(SILENT, "loaded, though it contradicts itself")
            if made.must_be_refused
            else Verdict(CLEAN, "loaded")
        )
    return Verdict(CLEAN, last_line(seen.error)) if name in seen.error else Verdict(UNNAMED, last_line(seen.text))


def loading(file: Path) -> Act:
    """Everything that reads a stored model."""

    def act(note: Note) -> int:
        from effdl.models import storage
        from effdl.models.stored import load_model
        from effdl.utils.errors import UserError

        try:
            load_model(file)
            storage.quant_grids(file)
            storage.breakdown(file)
        except UserError as error:
            print(f"effdl: {error}", file=sys.stderr)
            return 2
        return 0

    return act
