"""Steps of an executable and their native encoding, the `StepTable`.

An executable is a tree of steps (calls of kernels, loops, branches), packed once into
rows of eight 64-bit words that the native runner walks without returning to Python:

==========  ====  =============  ============================  =======  ======  ====
row         kind  fn             bufs                          extent   chunks  next
==========  ====  =============  ============================  =======  ======  ====
`Call`      0     kernel         its buffers (ints: its ints)  extent   chunks  0
`For`       1                    [&index, &trip or 0]          trip             body
`While`     2                    [&flag]                       tests            all
`Case`      3                    [&index] (ints: offsets)      count            all
`Copy`      4                    [dst, src]                    bytes
`Address`   5                    records of four words         records
==========  ====  =============  ============================  =======  ======  ====

in the column order ``kind, fn, bufs, ints, extent, chunks, align, next``; ``next`` is
the number of rows inside a loop or branch, which follow it.

Buffer lists and integer lists are made of *words*: an ``int``, an `Arg` (filled in
at every run), another `Words` list or an array (its address), or a `WordRef`
(address of one word, for `Address`). All lists live in one array owned by the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compiler.errors import ExecutionError
from compiler.runtime.native_runner import MAX_CHUNKS, RECORD_WORDS

CALL, FOR, WHILE, CASE, COPY, ADDRESS = range(6)
ROW_WORDS = 8


@dataclass(frozen=True, slots=True)
class Arg:
    """The address of run-time argument `index`, plus `offset` bytes."""

    index: int
    offset: int = 0


class Words:
    """A list of words with an identity: every use of one object is one memory."""

    __slots__ = ("values",)

    def __init__(self, *values: Word) -> None:
        self.values = values


NO_WORDS = Words()
"""The empty list."""


@dataclass(frozen=True, slots=True)
class WordRef:
    """The address of word `position` of `words`."""

    words: Words
    position: int


Word = int | Arg | Words | WordRef | np.ndarray
"""What a buffer list or an integer list is made of; see the module's docstring."""


Row = list[int | Words]


class Step:
    """Base of the steps."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Call(Step):
    """Call a kernel: ``fn(lo, hi, chunk, bufs, ints)`` over ``[0, extent)``.

    With ``chunks`` ≤ 1 there is one call, even for an extent of 0. Otherwise chunk c
    starts at ``extent * c // chunks`` rounded down to a multiple of `align`; empty
    chunks are not called, and `chunks_for` gives a count that leaves none empty.
    """

    fn: int
    bufs: Words
    ints: Words = NO_WORDS
    extent: int = 1
    chunks: int = 1
    align: int = 1
    name: str = ""


@dataclass(frozen=True, slots=True)
class For(Step):
    """Run `body` for index 0, 1, …, storing it as i64 at the address `index`.

    The count is read once, at entry: from the i64 at the address `trip_at` if given,
    else `trip`.
    """

    index: Word
    body: Sequence[Step]
    trip: int = 0
    trip_at: Word = 0


@dataclass(frozen=True, slots=True)
class While(Step):
    """Run `test`, stop if the byte at address `flag` is 0, run `body`, again."""

    flag: Word
    test: Sequence[Step]
    body: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Case(Step):
    """Run the branch chosen by the i32 at address `index`.

    An index outside the range chooses the last branch, as StableHLO says.
    """

    index: Word
    branches: Sequence[Sequence[Step]]


@dataclass(frozen=True, slots=True)
class Copy(Step):
    """Copy `nbytes` bytes; the two may overlap.

    `bufs` is the list ``[dst, src]``, which an `Address` step may change in a loop.
    """

    dst: Word
    src: Word
    nbytes: int
    bufs: Words = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bufs", Words(self.dst, self.src))


@dataclass(frozen=True, slots=True)
class Address(Step):
    """Compute buffer addresses inside a loop: a slice is then not copied.

    Each record is ``(slot, base, position, stride)``: the word at the address `slot`
    becomes ``base + i * stride``, i the i64 at the address `position`; stride in bytes.
    """

    records: Sequence[tuple[WordRef, Word, Word, int]]


def chunks_for(extent: int, wanted: int, align: int = 1) -> int:
    """The largest chunk count up to `wanted` that leaves no chunk empty."""
    return max(1, min(wanted, extent // align, MAX_CHUNKS))


def _aligned(words: int) -> np.ndarray:
    raw = np.zeros(words + 8, np.int64)
    start = -raw.ctypes.data % 64 // 8
    return raw[start : start + words]


class _Packer:
    """Lays rows and word lists out; addresses are filled in when both are placed."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.names: list[str] = []
        self.lists: dict[int, tuple[Words, int]] = {}
        self.keep: list[object] = []
        self.size = 0

    def place(self, words: Words) -> Words:
        """Give `words`, and the lists it refers to, a position in the word array."""
        if id(words) not in self.lists:
            self.lists[id(words)] = (words, self.size)
            self.size += len(words.values)
            for value in words.values:
                self._place_inner(value)
        return words

    def _place_inner(self, value: Word) -> None:
        if isinstance(value, Words):
            self.place(value)
        elif isinstance(value, WordRef):
            self.place(value.words)
        elif isinstance(value, np.ndarray):
            self.keep.append(value)

    def row(
        self,
        kind: int,
        bufs: Words,
        extent: int,
        name: str,
        ints: Words | None = None,
    ) -> Row:
        """Append a row whose other fields are zero, and return it."""
        ints_field = 0 if ints is None else self.place(ints)
        row: Row = [kind, 0, self.place(bufs), ints_field, extent, 0, 1, 0]
        self.rows.append(row)
        self.names.append(name)
        return row

    def inside(self, row: Row, *bodies: Sequence[Step]) -> list[int]:
        """Pack the bodies after `row`; the offsets at which each starts, and the end.

        Offsets count rows from the one after `row`.
        """
        begin = len(self.rows)
        offsets = [0]
        for body in bodies:
            self.pack(body)
            offsets.append(len(self.rows) - begin)
        row[7] = offsets[-1]
        return offsets

    def pack(self, steps: Sequence[Step]) -> None:
        """Append the rows of `steps`."""
        for step in steps:
            _PACK[type(step)](self, step)


def _pack_call(packer: _Packer, step: Call) -> None:
    if not 0 <= step.chunks <= MAX_CHUNKS or step.align < 1 or step.extent < 0:
        raise ExecutionError(
            f"step {step.name!r}: extent {step.extent}, chunks {step.chunks}, "
            f"align {step.align}",
            fix=f"extent >= 0, 0 <= chunks <= {MAX_CHUNKS}, align >= 1",
        )
    row = packer.row(CALL, step.bufs, step.extent, step.name, step.ints)
    row[1], row[5], row[6] = step.fn, step.chunks, step.align


def _pack_for(packer: _Packer, step: For) -> None:
    row = packer.row(FOR, Words(step.index, step.trip_at), step.trip, "for")
    packer.inside(row, step.body)


def _pack_while(packer: _Packer, step: While) -> None:
    row = packer.row(WHILE, Words(step.flag), 0, "while")
    row[4] = packer.inside(row, step.test, step.body)[1]


def _pack_case(packer: _Packer, step: Case) -> None:
    if not step.branches:
        raise ExecutionError("a case needs at least one branch")
    row = packer.row(CASE, Words(step.index), len(step.branches), "case")
    row[3] = packer.place(Words(*packer.inside(row, *step.branches)))


def _pack_copy(packer: _Packer, step: Copy) -> None:
    packer.row(COPY, step.bufs, step.nbytes, "copy")


def _pack_address(packer: _Packer, step: Address) -> None:
    words = Words(*(word for record in step.records for word in record))
    packer.row(ADDRESS, words, len(step.records), "address")


_PACK: dict[type[Step], Callable[[_Packer, Any], None]] = {
    Call: _pack_call,
    For: _pack_for,
    While: _pack_while,
    Case: _pack_case,
    Copy: _pack_copy,
    Address: _pack_address,
}


class StepTable:
    """Steps packed for the native runner.

    ``rows`` is int64 [n, 8] and ``words`` the int64 array of all lists; both may be
    patched between runs (`word_index`), and neither moves. ``num_args`` arguments are
    expected at every run. A table is run by one thread at a time: a second caller is
    told so, and packs a table of its own from the same ``steps``.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)
        packer = _Packer()
        packer.pack(self.steps)
        self.names = packer.names
        self._lists = packer.lists
        self._keep = packer.keep
        self.words = _aligned(packer.size)
        self.rows = _aligned(len(packer.rows) * ROW_WORDS).reshape(-1, ROW_WORDS)
        self._patches: list[tuple[int, int, int]] = []
        self._fill_words()
        self._fill_rows(packer.rows)
        self.patches = np.array(self._patches, np.int64).reshape(-1, 3)
        self.num_args = int(self.patches[:, 1].max(initial=-1)) + 1
        self.record = self._make_record()

    def __len__(self) -> int:
        return len(self.rows)

    def word_index(self, words: Words, position: int = 0) -> int:
        """Index into ``self.words`` of one word of a list that a step mentions."""
        return self._lists[id(words)][1] + position

    @property
    def has_parallel(self) -> bool:
        """True if some call is split into chunks."""
        calls = self.rows[:, 0] == CALL
        return bool((self.rows[calls, 5] > 1).any())

    def top_level(self) -> Iterator[tuple[int, int, str]]:
        """``(first row, end row, name)`` of each outermost step, for profiling."""
        first = 0
        while first < len(self.rows):
            end = first + 1 + int(self.rows[first, 7])
            yield first, end, self.names[first]
            first = end

    def _address(self, words: Words, position: int = 0) -> int:
        return self.words.ctypes.data + 8 * self.word_index(words, position)

    def _fill_words(self) -> None:
        for words, start in self._lists.values():
            for position, value in enumerate(words.values, start):
                self.words[position] = self._resolve(value, position)

    def _resolve(self, value: Word, position: int) -> int:
        if isinstance(value, Arg):
            address = self.words.ctypes.data + 8 * position
            self._patches.append((address, value.index, value.offset))
            return 0
        if isinstance(value, Words):
            return self._address(value)
        if isinstance(value, WordRef):
            return self._address(value.words, value.position)
        return value.ctypes.data if isinstance(value, np.ndarray) else value

    def _fill_rows(self, rows: list[Row]) -> None:
        for at, row in enumerate(rows):
            fields = [self._address(f) if isinstance(f, Words) else f for f in row]
            self.rows[at] = fields

    def _make_record(self) -> np.ndarray:
        record = _aligned(RECORD_WORDS)
        begin = self.rows.ctypes.data
        patches = self.patches.ctypes.data
        record[1:5] = begin, begin + self.rows.nbytes, patches, len(self.patches)
        return record
