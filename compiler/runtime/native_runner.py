"""The native half of the runtime: worker pool and step runner, as LLVM IR text.

Everything here runs without the interpreter lock. The text defines four entries that
`threadpool` calls through ctypes: run a step table with the arguments as raw
addresses, run one with the arguments as a tuple of arrays, enter the worker loop, and
spin (to calibrate the pause instruction).

Protocol. A parallel step is published as one 64-bit *ticket*,
``sequence << 32 | chunks << 16 | next``. Whoever wants a chunk adds one to it: the
value before the addition says which chunk that was, or that none is left, however late
the worker is, so nobody ever waits for a worker that did not take a chunk. The
publisher takes chunks too, then waits until the others have added theirs to `done`.
A worker that finds nothing spins, then sleeps in a futex on the sequence half of the
ticket; `sleepers` tells the publisher whether a wake-up call is needed at all.

Words of the pool (64 bits each, one cache line per group of eight):

====  ====================================================================
0     ticket
8     chunks done by others than the publisher
16    number of sleeping workers
24    1 while some thread runs a step table on the pool
32    the published step
40    number of workers wanted: a worker whose index is not below it returns
41    number of workers started
42    pauses a worker spins for before it sleeps, pool unused
43    the same while the pool is in use
44    address of libc's ``syscall`` (futex), 0 where there is none
45    address of a function that gives up the processor: ``void ()``
46    address of a function that sleeps for some microseconds: ``void (i32)``
47    address of the callback that starts workers: ``void ()``
====  ====================================================================

Words of the record that an entry receives: 0 pool or 0 for a table without parallel
steps, 1 first step, 2 end of the steps, 3 patches, 4 number of patches, 5 busy flag,
6 offset of the items in a tuple object, 7 offset of the data pointer in an array
object. A patch is three words: address to write to, argument number, byte offset.
The encoding of steps is documented in `steps`.
"""

from __future__ import annotations

import platform

POOL_WORDS = 56
RECORD_WORDS = 8
MAX_CHUNKS = 1 << 14
TICKET, DONE, SLEEPERS, ACTIVE, JOB = 0, 8, 16, 24, 32
WANTED, STARTED, SPIN_IDLE, SPIN_ACTIVE = 40, 41, 42, 43
SYSCALL, YIELD, USLEEP, START = 44, 45, 46, 47

ENTRIES_SYMBOL = "jf_runtime_entries"
VERSION = "runner-1"

# The instruction that tells the core a loop is waiting, and its declaration.
_X86_PAUSE = ("call void @llvm.x86.sse2.pause()", "declare void @llvm.x86.sse2.pause()")
_ARM_PAUSE = (
    "call void @llvm.aarch64.isb(i32 15)",
    "declare void @llvm.aarch64.isb(i32)",
)
_PAUSE = {
    "x86_64": _X86_PAUSE,
    "AMD64": _X86_PAUSE,
    "aarch64": _ARM_PAUSE,
    "arm64": _ARM_PAUSE,
}
# Numbers of the futex system call; elsewhere workers sleep by polling.
FUTEX_NUMBER = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "ppc64le": 221}

_CHUNKS = """
define internal void @run_chunk(ptr %step, i64 %c) {
  %fn.p = getelementptr i64, ptr %step, i64 1
  %bufs.p = getelementptr i64, ptr %step, i64 2
  %ints.p = getelementptr i64, ptr %step, i64 3
  %extent.p = getelementptr i64, ptr %step, i64 4
  %n.p = getelementptr i64, ptr %step, i64 5
  %align.p = getelementptr i64, ptr %step, i64 6
  %fn = load ptr, ptr %fn.p
  %bufs = load ptr, ptr %bufs.p
  %ints = load ptr, ptr %ints.p
  %extent = load i64, ptr %extent.p
  %n = load i64, ptr %n.p
  %align = load i64, ptr %align.p
  %lo.p = mul i64 %extent, %c
  %lo.q = udiv i64 %lo.p, %n
  %lo.r = urem i64 %lo.q, %align
  %lo = sub i64 %lo.q, %lo.r
  %c1 = add i64 %c, 1
  %hi.p = mul i64 %extent, %c1
  %hi.q = udiv i64 %hi.p, %n
  %hi.r = urem i64 %hi.q, %align
  %hi.a = sub i64 %hi.q, %hi.r
  %last = icmp uge i64 %c1, %n
  %hi = select i1 %last, i64 %extent, i64 %hi.a
  %some = icmp slt i64 %lo, %hi
  br i1 %some, label %call, label %end
call:
  call void %fn(i64 %lo, i64 %hi, i64 %c, ptr %bufs, ptr %ints)
  br label %end
end:
  ret void
}

define internal void @run_chunks_serially(ptr %step, i64 %n) {
entry:
  br label %loop
loop:
  %c = phi i64 [0, %entry], [%c1, %loop]
  call void @run_chunk(ptr %step, i64 %c)
  %c1 = add i64 %c, 1
  %more = icmp ult i64 %c1, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}
"""

_SLEEP = """
define internal void @worker_sleep(ptr %pool, i64 %ticket) {
  %syscall.p = getelementptr i64, ptr %pool, i64 44
  %syscall = load ptr, ptr %syscall.p
  %none = icmp eq ptr %syscall, null
  br i1 %none, label %poll, label %futex
futex:
  %sequence.p = getelementptr i8, ptr %pool, i64 @SEQUENCE_OFFSET@
  %sequence = lshr i64 %ticket, 32
  %r = call i64 (i64, ...) %syscall(i64 @FUTEX@, ptr %sequence.p, i64 128,
    i64 %sequence, ptr null, ptr null, i64 0)
  ret void
poll:
  %usleep.p = getelementptr i64, ptr %pool, i64 46
  %usleep = load ptr, ptr %usleep.p
  call void %usleep(i32 100)
  ret void
}

define internal void @wake(ptr %pool, i64 %count) {
  %syscall.p = getelementptr i64, ptr %pool, i64 44
  %syscall = load ptr, ptr %syscall.p
  %none = icmp eq ptr %syscall, null
  br i1 %none, label %end, label %futex
futex:
  %sequence.p = getelementptr i8, ptr %pool, i64 @SEQUENCE_OFFSET@
  %r = call i64 (i64, ...) %syscall(i64 @FUTEX@, ptr %sequence.p, i64 129,
    i64 %count, ptr null, ptr null, i64 0)
  br label %end
end:
  ret void
}
"""

_PARALLEL = """
define internal void @start_workers(ptr %pool) {
  %wanted.p = getelementptr i64, ptr %pool, i64 40
  %started.p = getelementptr i64, ptr %pool, i64 41
  %wanted = load atomic i64, ptr %wanted.p monotonic, align 8
  %started = load atomic i64, ptr %started.p monotonic, align 8
  %missing = icmp slt i64 %started, %wanted
  br i1 %missing, label %start, label %end, !prof !0
start:
  %start.p = getelementptr i64, ptr %pool, i64 47
  %callback = load ptr, ptr %start.p
  call void %callback()
  br label %end
end:
  ret void
}

define internal void @run_parallel(ptr %pool, ptr %step, i64 %n) {
entry:
  call void @start_workers(ptr %pool)
  %done.p = getelementptr i64, ptr %pool, i64 8
  %sleepers.p = getelementptr i64, ptr %pool, i64 16
  %job.p = getelementptr i64, ptr %pool, i64 32
  %yield.p = getelementptr i64, ptr %pool, i64 45
  store ptr %step, ptr %job.p
  store atomic i64 0, ptr %done.p monotonic, align 8
  %old = load atomic i64, ptr %pool monotonic, align 8
  %seq = lshr i64 %old, 32
  %seq1 = add i64 %seq, 1
  %hi = shl i64 %seq1, 32
  %lo = shl i64 %n, 16
  %new = or i64 %hi, %lo
  %was = atomicrmw xchg ptr %pool, i64 %new seq_cst
  %sleepers = load atomic i64, ptr %sleepers.p seq_cst, align 8
  %asleep = icmp sgt i64 %sleepers, 0
  br i1 %asleep, label %rouse, label %grab
rouse:
  %others = sub i64 %n, 1
  %few = icmp slt i64 %sleepers, %others
  %count = select i1 %few, i64 %sleepers, i64 %others
  call void @wake(ptr %pool, i64 %count)
  br label %grab
grab:
  %own = phi i64 [0, %entry], [0, %rouse], [%own1, %work]
  %t = atomicrmw add ptr %pool, i64 1 acq_rel
  %c = and i64 %t, 65535
  %valid = icmp ult i64 %c, %n
  br i1 %valid, label %work, label %finish
work:
  call void @run_chunk(ptr %step, i64 %c)
  %own1 = add i64 %own, 1
  br label %grab
finish:
  %rest = sub i64 %n, %own
  br label %wait
wait:
  %spins = phi i64 [0, %finish], [%spins1, %again]
  %done = load atomic i64, ptr %done.p acquire, align 8
  %all = icmp eq i64 %done, %rest
  br i1 %all, label %end, label %pause
pause:
  @PAUSE@
  %spins1 = add i64 %spins, 1
  ; The worker may have been put off its core: after some pauses let it have this one.
  %low = and i64 %spins1, 1023
  %long = icmp eq i64 %low, 0
  br i1 %long, label %give, label %again
give:
  %yield = load ptr, ptr %yield.p
  call void %yield()
  br label %again
again:
  br label %wait
end:
  ret void
}
"""

_WORKER = """
define internal void @worker(ptr %pool, i64 %index) {
entry:
  %done.p = getelementptr i64, ptr %pool, i64 8
  %sleepers.p = getelementptr i64, ptr %pool, i64 16
  %active.p = getelementptr i64, ptr %pool, i64 24
  %job.p = getelementptr i64, ptr %pool, i64 32
  %wanted.p = getelementptr i64, ptr %pool, i64 40
  %idle.p = getelementptr i64, ptr %pool, i64 42
  %busy.p = getelementptr i64, ptr %pool, i64 43
  br label %look
look:
  %spins = phi i64 [0, %entry], [%spins, %grab], [0, %work], [%spins1, %pause],
    [0, %wakened]
  %wanted = load atomic i64, ptr %wanted.p monotonic, align 8
  %stay = icmp slt i64 %index, %wanted
  br i1 %stay, label %peek, label %leave
peek:
  %t = load atomic i64, ptr %pool acquire, align 8
  %t.c = and i64 %t, 65535
  %t.s = lshr i64 %t, 16
  %t.n = and i64 %t.s, 65535
  %open = icmp ult i64 %t.c, %t.n
  br i1 %open, label %grab, label %idle
grab:
  %g = atomicrmw add ptr %pool, i64 1 acq_rel
  %c = and i64 %g, 65535
  %g.s = lshr i64 %g, 16
  %n = and i64 %g.s, 65535
  %valid = icmp ult i64 %c, %n
  br i1 %valid, label %work, label %look
work:
  %step = load ptr, ptr %job.p
  call void @run_chunk(ptr %step, i64 %c)
  %d = atomicrmw add ptr %done.p, i64 1 acq_rel
  br label %look
idle:
  %active = load atomic i64, ptr %active.p monotonic, align 8
  %used = icmp ne i64 %active, 0
  %limit.p = select i1 %used, ptr %busy.p, ptr %idle.p
  %limit = load atomic i64, ptr %limit.p monotonic, align 8
  %spin = icmp slt i64 %spins, %limit
  br i1 %spin, label %pause, label %tired
pause:
  @PAUSE@
  %spins1 = add i64 %spins, 1
  br label %look
tired:
  %s0 = atomicrmw add ptr %sleepers.p, i64 1 seq_cst
  ; Looked at again after having been counted: a step published before the count is
  ; seen here, one published after it changes the word that the futex compares.
  %t2 = load atomic i64, ptr %pool seq_cst, align 8
  %wanted2 = load atomic i64, ptr %wanted.p seq_cst, align 8
  %stay2 = icmp slt i64 %index, %wanted2
  %same = icmp eq i64 %t, %t2
  %sleepy = and i1 %stay2, %same
  br i1 %sleepy, label %sleep, label %wakened
sleep:
  call void @worker_sleep(ptr %pool, i64 %t2)
  br label %wakened
wakened:
  %s1 = atomicrmw sub ptr %sleepers.p, i64 1 seq_cst
  br label %look
leave:
  ret void
}

define internal void @spin(i64 %count) {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%i1, %loop]
  @PAUSE@
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, %count
  br i1 %more, label %loop, label %end
end:
  ret void
}

define internal void @dismiss(ptr %pool, i64 %wanted) {
  %wanted.p = getelementptr i64, ptr %pool, i64 40
  store atomic i64 %wanted, ptr %wanted.p seq_cst, align 8
  %old = atomicrmw add ptr %pool, i64 4294967296 seq_cst
  call void @wake(ptr %pool, i64 65535)
  ret void
}
"""

_STEPS = """
define internal void @run_range(ptr %pool, ptr %begin, ptr %end) {
entry:
  br label %next
next:
  %s = phi ptr [%begin, %entry], [%after, %call.done], [%after, %copy],
    [%body.end, %for], [%body.end, %for.done], [%body.end, %while.done],
    [%body.end, %case.done], [%after, %address], [%after, %address.done]
  %over = icmp uge ptr %s, %end
  br i1 %over, label %stop, label %step
step:
  %fn.p = getelementptr i64, ptr %s, i64 1
  %bufs.p = getelementptr i64, ptr %s, i64 2
  %ints.p = getelementptr i64, ptr %s, i64 3
  %extent.p = getelementptr i64, ptr %s, i64 4
  %n.p = getelementptr i64, ptr %s, i64 5
  %next.p = getelementptr i64, ptr %s, i64 7
  %kind = load i64, ptr %s
  %fn = load ptr, ptr %fn.p
  %bufs = load ptr, ptr %bufs.p
  %ints = load ptr, ptr %ints.p
  %extent = load i64, ptr %extent.p
  %n = load i64, ptr %n.p
  %inside = load i64, ptr %next.p
  %after = getelementptr i64, ptr %s, i64 8
  %inside.words = mul i64 %inside, 8
  %body.end = getelementptr i64, ptr %after, i64 %inside.words
  switch i64 %kind, label %stop [i64 0, label %call i64 1, label %for
    i64 2, label %while i64 3, label %case i64 4, label %copy i64 5, label %address]

call:
  %split = icmp sgt i64 %n, 1
  br i1 %split, label %chunked, label %whole
whole:
  call void %fn(i64 0, i64 %extent, i64 0, ptr %bufs, ptr %ints)
  br label %call.done
chunked:
  %alone = icmp eq ptr %pool, null
  br i1 %alone, label %serial, label %parallel
serial:
  call void @run_chunks_serially(ptr %s, i64 %n)
  br label %call.done
parallel:
  call void @run_parallel(ptr %pool, ptr %s, i64 %n)
  br label %call.done
call.done:
  br label %next

for:
  %index = load ptr, ptr %bufs
  %trip.pp = getelementptr ptr, ptr %bufs, i64 1
  %trip.p = load ptr, ptr %trip.pp
  %trip.fixed = icmp eq ptr %trip.p, null
  %trip.from = select i1 %trip.fixed, ptr %extent.p, ptr %trip.p
  %trip = load i64, ptr %trip.from
  %any = icmp sgt i64 %trip, 0
  br i1 %any, label %for.body, label %next
for.body:
  %i = phi i64 [0, %for], [%i1, %for.body]
  store i64 %i, ptr %index
  call void @run_range(ptr %pool, ptr %after, ptr %body.end)
  %i1 = add i64 %i, 1
  %for.more = icmp slt i64 %i1, %trip
  br i1 %for.more, label %for.body, label %for.done
for.done:
  br label %next

while:
  %flag.p = load ptr, ptr %bufs
  %test.words = mul i64 %extent, 8
  %test.end = getelementptr i64, ptr %after, i64 %test.words
  br label %while.test
while.test:
  call void @run_range(ptr %pool, ptr %after, ptr %test.end)
  %flag = load i8, ptr %flag.p
  %going = icmp ne i8 %flag, 0
  br i1 %going, label %while.body, label %while.done
while.body:
  call void @run_range(ptr %pool, ptr %test.end, ptr %body.end)
  br label %while.test
while.done:
  br label %next

case:
  %which.p = load ptr, ptr %bufs
  %which32 = load i32, ptr %which.p
  %which = sext i32 %which32 to i64
  %in = icmp ult i64 %which, %extent
  %last = sub i64 %extent, 1
  %k = select i1 %in, i64 %which, i64 %last
  %from.p = getelementptr i64, ptr %ints, i64 %k
  %to.p = getelementptr i64, ptr %from.p, i64 1
  %from = load i64, ptr %from.p
  %to = load i64, ptr %to.p
  %from.words = mul i64 %from, 8
  %to.words = mul i64 %to, 8
  %branch = getelementptr i64, ptr %after, i64 %from.words
  %branch.end = getelementptr i64, ptr %after, i64 %to.words
  call void @run_range(ptr %pool, ptr %branch, ptr %branch.end)
  br label %case.done
case.done:
  br label %next

copy:
  %dst = load ptr, ptr %bufs
  %src.p = getelementptr ptr, ptr %bufs, i64 1
  %src = load ptr, ptr %src.p
  call void @llvm.memmove.p0.p0.i64(ptr %dst, ptr %src, i64 %extent, i1 false)
  br label %next

address:
  %some = icmp sgt i64 %extent, 0
  br i1 %some, label %address.one, label %next
address.one:
  %a = phi i64 [0, %address], [%a1, %address.one]
  %rec.at = mul i64 %a, 4
  %slot.pp = getelementptr i64, ptr %bufs, i64 %rec.at
  %base.p = getelementptr i64, ptr %slot.pp, i64 1
  %position.pp = getelementptr i64, ptr %slot.pp, i64 2
  %stride.p = getelementptr i64, ptr %slot.pp, i64 3
  %slot.p = load ptr, ptr %slot.pp
  %base = load i64, ptr %base.p
  %position.p = load ptr, ptr %position.pp
  %stride = load i64, ptr %stride.p
  %position = load i64, ptr %position.p
  %move = mul i64 %position, %stride
  %where = add i64 %base, %move
  store i64 %where, ptr %slot.p
  %a1 = add i64 %a, 1
  %a.more = icmp slt i64 %a1, %extent
  br i1 %a.more, label %address.one, label %address.done
address.done:
  br label %next

stop:
  ret void
}
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
"""

_PATCH = """
define internal void @patch(ptr %record, ptr %args, i1 %objects) {
entry:
  %patches.p = getelementptr i64, ptr %record, i64 3
  %count.p = getelementptr i64, ptr %record, i64 4
  %items.p = getelementptr i64, ptr %record, i64 6
  %data.p = getelementptr i64, ptr %record, i64 7
  %patches = load ptr, ptr %patches.p
  %count = load i64, ptr %count.p
  %items.o = load i64, ptr %items.p
  %data.o = load i64, ptr %data.p
  %items = select i1 %objects, i64 %items.o, i64 0
  %values = getelementptr i8, ptr %args, i64 %items
  br label %test
test:
  %i = phi i64 [0, %entry], [%i1, %write]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %one, label %end
one:
  %at = mul i64 %i, 3
  %word.pp = getelementptr i64, ptr %patches, i64 %at
  %arg.p = getelementptr i64, ptr %word.pp, i64 1
  %offset.p = getelementptr i64, ptr %word.pp, i64 2
  %word.p = load ptr, ptr %word.pp
  %arg = load i64, ptr %arg.p
  %offset = load i64, ptr %offset.p
  %value.p = getelementptr ptr, ptr %values, i64 %arg
  %value = load ptr, ptr %value.p
  br i1 %objects, label %object, label %write
object:
  %field = getelementptr i8, ptr %value, i64 %data.o
  %data = load ptr, ptr %field
  br label %write
write:
  %base = phi ptr [%value, %one], [%data, %object]
  %pointer = getelementptr i8, ptr %base, i64 %offset
  store ptr %pointer, ptr %word.p
  %i1 = add i64 %i, 1
  br label %test
end:
  ret void
}
"""

_ENTRIES = """
define internal i32 @run(ptr %record, ptr %args, i1 %objects) {
  %begin.p = getelementptr i64, ptr %record, i64 1
  %end.p = getelementptr i64, ptr %record, i64 2
  %busy.p = getelementptr i64, ptr %record, i64 5
  %free = cmpxchg ptr %busy.p, i64 0, i64 1 acquire monotonic
  %mine = extractvalue { i64, i1 } %free, 1
  br i1 %mine, label %own, label %taken
own:
  call void @patch(ptr %record, ptr %args, i1 %objects)
  %begin = load ptr, ptr %begin.p
  %end = load ptr, ptr %end.p
  %pool = load ptr, ptr %record
  %no.pool = icmp eq ptr %pool, null
  br i1 %no.pool, label %serial, label %try
try:
  %wanted.p = getelementptr i64, ptr %pool, i64 40
  %active.p = getelementptr i64, ptr %pool, i64 24
  %wanted = load atomic i64, ptr %wanted.p monotonic, align 8
  %many = icmp sgt i64 %wanted, 0
  br i1 %many, label %acquire, label %serial
acquire:
  %lock = cmpxchg ptr %active.p, i64 0, i64 1 acquire monotonic
  %locked = extractvalue { i64, i1 } %lock, 1
  br i1 %locked, label %parallel, label %serial
parallel:
  call void @run_range(ptr %pool, ptr %begin, ptr %end)
  store atomic i64 0, ptr %active.p release, align 8
  br label %finish
serial:
  call void @run_range(ptr null, ptr %begin, ptr %end)
  br label %finish
finish:
  store atomic i64 0, ptr %busy.p release, align 8
  ret i32 0
taken:
  ret i32 1
}

define internal i32 @run_addresses(ptr %record, ptr %args) {
  %r = call i32 @run(ptr %record, ptr %args, i1 false)
  ret i32 %r
}

define internal i32 @run_objects(ptr %record, ptr %args) {
  %r = call i32 @run(ptr %record, ptr %args, i1 true)
  ret i32 %r
}

@jf_runtime_entries = constant [5 x ptr]
  [ptr @run_addresses, ptr @run_objects, ptr @worker, ptr @spin, ptr @dismiss]

!0 = !{!"branch_weights", i32 1, i32 1000}
"""


def runner_ir(byteorder: str, machine: str = platform.machine()) -> str:
    """LLVM IR text of the pool and the step runner for this kind of machine.

    `byteorder` is ``sys.byteorder``: it decides which half of the ticket is the
    sequence. The module exports `ENTRIES_SYMBOL`, five function pointers:
    ``i32 run_addresses(record, void** args)``, ``i32 run_objects(record, tuple)``
    (both 1 if the table is in use by another thread, else 0), ``void worker(pool,
    index)``, ``void spin(count)`` and ``void dismiss(pool, wanted)``.
    """
    pause, declaration = _PAUSE.get(machine, ("fence seq_cst", ""))
    parts = [_CHUNKS, _SLEEP, _PARALLEL, _WORKER, _STEPS, _PATCH, _ENTRIES, declaration]
    text = "".join(parts)
    for name, value in (
        ("@PAUSE@", pause),
        ("@FUTEX@", str(FUTEX_NUMBER.get(machine, 0))),
        ("@SEQUENCE_OFFSET@", "4" if byteorder == "little" else "0"),
    ):
        text = text.replace(name, value)
    return text
