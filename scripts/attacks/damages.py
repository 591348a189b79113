"""Damages of every file of a run folder: a command must name them, or end as if there were none."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

DELETED, DIRECTORY, UNREADABLE = "deleted", "replaced by a folder", "unreadable"
Damage = Callable[[Path], None]


def damages(folder: Path, other: Path, random: Random) -> Iterator[tuple[str, str, Damage]]:
    """The file, the damage in words, and the function that does it to a copy of the folder.

    Args:
        other: another run's folder, whose files take the place of those of the same name.
    """
    for file in sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file()):
        data = (folder / file).read_bytes()
        for words, changed in _contents(data, random, file.suffix == ".jsonl"):
            yield str(file), words, _writing(file, changed)
        if (other / file).exists() and (other / file).read_bytes() != data:
            yield str(file), "swapped with another run's", _writing(file, (other / file).read_bytes())
        yield str(file), DELETED, lambda copy, file=file: (copy / file).unlink()
        yield str(file), DIRECTORY, lambda copy, file=file: _to_folder(copy / file)
        yield str(file), UNREADABLE, lambda copy, file=file: (copy / file).chmod(0)


def _contents(data: bytes, random: Random, has_rows: bool) -> Iterator[tuple[str, bytes]]:
    """Damaged contents, with the damage in words."""
    size = len(data)
    for length in dict.fromkeys([0, 1, size // 3, size // 2, size - 20, size - 1]):
        if 0 <= length < size:
            yield f"cut to {length} of {size} bytes", data[:length]
    for position in [0, *random.sample(range(size), min(4, size))] if size else []:
        bit = random.randrange(8)
        yield f"bit {bit} of byte {position} flipped", _with(data, position, data[position] ^ 1 << bit)
    for position in random.sample(range(size), min(2, size)):
        yield f"byte {position} is 0xff", _with(data, position, 0xFF)
    digits = [match.start() for match in re.finditer(rb"\d", data)] if _is_text(data) else []
    for position in random.sample(digits, min(8, len(digits))):
        digit = random.choice([other for other in b"0123456789" if other != data[position]])
        near = data[max(0, position - 30) : position + 5].decode()
        yield f"digit {position} is {chr(digit)} (...{near}...)", _with(data, position, digit)
    yield "with 10 bytes more", data + b"0123456789"
    if has_rows:
        rows = data.splitlines(keepends=True)
        for number in range(len(rows)):
            yield f"without row {number + 1} of {len(rows)}", b"".join(rows[:number] + rows[number + 1 :])
            yield f"row {number + 1} of {len(rows)} twice", b"".join(rows[: number + 1] + rows[number:])


def _with(data: bytes, position: int, value: int) -> bytes:
    return data[:position] + bytes([value]) + data[position + 1 :]


def _is_text(data: bytes) -> bool:
    try:
        return data.decode().isprintable() or b"\n" in data
    except UnicodeDecodeError:
        return False


def _writing(file: Path, data: bytes) -> Damage:
    return lambda copy: (copy / file).write_bytes(data) and None


def _to_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()
