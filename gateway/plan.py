"""The fewest requests that fetch everything a device's blocks need.

What must come in one answer is an atom: the registers of one number, of a number with its fraction or resolution, or
of all slots with the same `group`. A request takes the first atom left over and every later one of its function that
still fits into `max_count`, without a gap of more than `max_gap` registers. Taking the most each time is the best
that can be done, because what the first request covers never has to be covered again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from gashub.errors import InvalidValue

from .profile import Block, Cell, Limits, Slot


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Atom:
    """Registers `start` up to but without `end` of one Modbus function that must come in one answer."""

    function: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One read: `count` registers (functions 3, 4) or bits (1, 2) from `address` on."""

    function: int
    address: int
    count: int

    def covers(self, atom: Atom) -> bool:
        """Whether the whole atom comes with this request."""
        return self.function == atom.function and self.address <= atom.start and atom.end <= self.address + self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlan:
    """The requests of one scan, in order; their answers, one after the other, make one row of words."""

    requests: tuple[Request, ...]

    @property
    def width(self) -> int:
        """Words in a row."""
        return sum(request.count for request in self.requests)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where in the row the answer to each request begins."""
        return tuple(accumulate((request.count for request in self.requests[:-1]), initial=0))

    def request_of(self, atom: Atom) -> int:
        """Which request brings the atom. Raises InvalidValue if none does."""
        for number, request in enumerate(self.requests):
            if request.covers(atom):
                return number
        raise InvalidValue(f"no request covers registers {atom.start} to {atom.end - 1} of function {atom.function}")


def atom_of(slot: Slot, slots: Iterable[Slot]) -> Atom:
    """What must be read together for `slot`: its own cells and those of every slot in its group."""
    members = [other for other in slots if slot.group is not None and other.group == slot.group] or [slot]
    cells: list[Cell] = [cell for member in members for cell in member.cells]
    return Atom(function=slot.function, start=min(cell.address for cell in cells), end=max(cell.end for cell in cells))


def plan(blocks: Sequence[Block], limits: Limits) -> ReadPlan:
    """The requests for some blocks of one device. Raises InvalidValue if an atom is wider than a request may be."""
    slots = [slot for block in blocks for slot in block.slot]
    atoms = {atom_of(slot, slots) for slot in slots}
    return ReadPlan(requests=tuple(merge(atoms, limits)))


def merge(atoms: Iterable[Atom], limits: Limits) -> list[Request]:
    """Cover every atom with the fewest requests within the limits."""
    left = sorted(set(atoms))
    requests: list[Request] = []
    while left:
        taken = _first_request(left, limits)
        left = [atom for atom in left if not taken.covers(atom)]
        requests.append(taken)
    return requests


def _first_request(atoms: list[Atom], limits: Limits) -> Request:
    first = atoms[0]
    if first.end - first.start > limits.max_count:
        raise InvalidValue(f"{first.end - first.start} registers together, a request takes {limits.max_count}")
    end = first.end
    for atom in atoms[1:]:
        if atom.function != first.function or atom.start - end > limits.max_gap:
            break
        if atom.end - first.start <= limits.max_count:
            end = max(end, atom.end)
    return Request(function=first.function, address=first.start, count=end - first.start)
