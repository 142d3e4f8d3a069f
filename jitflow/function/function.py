"""`jf.function`: call a Python function as a compiled trace."""

from __future__ import annotations

import functools
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from types import MethodType
from typing import Any

from compiler.ir.location import caller_location
from compiler.ir.types import TensorType
from jitflow.autograph import convert
from jitflow.config import settings
from jitflow.errors import ArgumentError, VariableError
from jitflow.function import policy
from jitflow.function.arguments import Call, Plan, make_plan, prepare, signature_of
from jitflow.function.backend import INTERPRETER, check_emitter
from jitflow.function.cache import TraceCache
from jitflow.function.concrete import ConcreteFunction
from jitflow.function.differentiate import run_recorded
from jitflow.function.guards import GuardSet
from jitflow.function.records import (
    CacheInfo,
    Difference,
    TraceRecord,
    differences,
    fix_for,
    why,
)
from jitflow.function.shapes import first_pattern, generalise
from jitflow.function.stages import Compiled, Lowered, StageView, Traced
from jitflow.function.tracebacks import user_traceback
from jitflow.function.tracer import Traced as NewTrace
from jitflow.function.tracer import TraceJob
from jitflow.function.verification import verify_run
from jitflow.tensor import Tensor, state
from jitflow.tensor.state import activity
from jitflow.tracing.spec import TensorSpec
from jitflow.tracing.structure import Structure, flatten

_RETRACE = ("ignore", "warn", "error")
_PURITY = ("warn", "error", "off")
_VERIFY = (None, "first", "always")


class Function:
    """A Python function that runs as compiled traces; made by `jf.function`.

    A trace is kept for each combination of tensor types and static arguments. Calls
    that fit one run it; other calls trace again, and `why` tells the reason.
    """

    def __init__(
        self,
        python_function: Callable[..., Any],
        *,
        input_signature: Sequence[Any] | None = None,
        name: str | None = None,
        max_traces: int | None = 128,
        on_retrace: str = "ignore",
        purity: str = "warn",
        emitter: str | None = None,
        verify: str | None = None,
        autograph: bool = True,
        instance: Any = None,
    ) -> None:
        _check_option("on_retrace", on_retrace, _RETRACE)
        _check_option("purity", purity, _PURITY)
        _check_option("verify", verify, _VERIFY)
        check_emitter(emitter)
        if max_traces is not None and max_traces < 1:
            raise ArgumentError(f"max_traces: must be positive, given {max_traces}")
        functools.update_wrapper(self, python_function)
        self.name = str(name or getattr(python_function, "__name__", "function"))
        self.python_function = python_function
        self.autograph = autograph
        self.input_signature = None if input_signature is None else [*input_signature]
        self._options: dict[str, Any] = {
            "input_signature": input_signature,
            "name": name,
            "max_traces": max_traces,
            "on_retrace": on_retrace,
            "purity": purity,
            "emitter": emitter,
            "verify": verify,
            "autograph": autograph,
        }
        self._instance = None if instance is None else weakref.ref(instance)
        self._signature = signature_of(self._bound())
        self._lock = threading.RLock()
        self._instances: dict[int, tuple[Any, InstanceFunction]] = {}
        self._misses = 0
        self._count = 0
        self._lifted: set[str] = set()
        self._never_lifted: set[str] = set()
        self._static_shapes: set[Any] = set()
        self._plans: dict[Structure, Plan] = {}
        self._cache = TraceCache(max_traces)
        self._fast = self._cache.fast

    # ------------------------------------------------------------------------ calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function on these arguments, compiled."""
        if not kwargs and not activity.threads and not settings.functions_eager:
            key: list[Any] = []
            arrays: list[Any] = []
            for arg in args:
                if type(arg) is not Tensor:
                    break
                data = arg._data
                if not data.flags.c_contiguous:
                    break
                arrays.append(data)
                key.append(data.shape)
                key.append(data.dtype.num)
            else:
                for concrete in self._fast.get(tuple(key), ()):
                    if concrete.guards.holds():
                        concrete.hits += 1
                        return concrete.run(arrays)
        return self._call(args, kwargs)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Every call that the fast path does not take."""
        if settings.functions_eager:
            return self._bound()(*args, **kwargs)
        if state.trace is not None:
            return self._traceable()(*args, **kwargs)
        call = self._prepare(args, kwargs)
        concrete = self._cache.find(call)
        if concrete is None:
            concrete = self._trace(call).concrete
        else:
            concrete.hits += 1
        self._remember_fast(args, kwargs, call)
        if state.tapes:
            return run_recorded(concrete, call, _rule)
        if self._options["verify"] is not None:
            first_only = self._options["verify"] == "first"
            return verify_run(concrete, call.arrays, self.name, first_only)
        return concrete.run(call.arrays)

    def _bound(self) -> Callable[..., Any]:
        """The Python function, with its instance if it is a method."""
        if self._instance is None:
            return self.python_function
        return MethodType(self.python_function, self._owner())

    def _traceable(self) -> Callable[..., Any]:
        """The Python function with its control flow converted."""
        return convert(self._bound()) if self.autograph else self._bound()

    def _owner(self) -> Any:
        owner = None if self._instance is None else self._instance()
        if owner is None and self._instance is not None:
            raise VariableError(f"the object that {self.name} is a method of is gone")
        return owner

    def _prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        leaves, structure = flatten((args, kwargs))
        plan = self._plans.get(structure)
        if plan is None:
            plan = make_plan(
                self._signature, structure, self.input_signature, self.name
            )
            plan.lifted = self._lifted_places(plan)
            self._plans[structure] = plan
        return prepare(plan, leaves, self.name)

    def _remember_fast(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], call: Call
    ) -> None:
        """Let the fast path take calls like this one."""
        plain = not kwargs and all(type(a) is Tensor for a in args)
        # The fast path neither checks specs nor results.
        plain = plain and call.plan.order[: len(args)] == tuple(range(len(args)))
        arrays_of_call = len(call.arrays) == len(args)
        if plain and arrays_of_call and self._options["verify"] is None:
            key = tuple(p for a in args for p in (a._data.shape, a._data.dtype.num))
            entries = self._cache.exact.get(call.key)
            if entries is not None:
                self._fast[key] = entries

    # ------------------------------------------------------------------------ tracing

    def _trace(self, call: Call) -> TraceRecord:
        """Make a trace for a call that none fits."""
        with self._lock:
            concrete = self._cache.find(call)  # another thread may have been faster
            if concrete is not None:
                return self._cache.record_of(concrete)
            try:
                return self._trace_locked(call)
            except Exception as error:
                raise error.with_traceback(user_traceback(error)) from error.__cause__

    def _trace_locked(self, call: Call) -> TraceRecord:
        changes = self._closest_changes(call)
        reason, fix = self._reason(call, changes)
        self._check_policy(reason)
        notes: list[str] = []
        made, seconds = self._attempt(call, changes, notes)
        record = self._record(call, made, seconds, reason, fix if not notes else "")
        record.notes = notes
        return record

    def _attempt(
        self, call: Call, changes: Sequence[Difference], notes: list[str]
    ) -> tuple[NewTrace, dict[str, float]]:
        """Trace as generally as the change asks for, or exactly if that fails."""
        numbers = {c.path for c in changes if c.is_number} - self._never_lifted
        if numbers:
            self._lift(numbers)
            self._relift(call)
            try:
                made = self._attempt_shapes(call, changes, notes)
            except Exception as error:
                self._never_lifted |= numbers
                self._lift(numbers, undo=True)
                self._relift(call)
                notes.append(f"{_listed(numbers)} stays static: {_first_line(error)}")
            else:
                notes.append(f"{_listed(numbers)} is now passed at run time")
                return made
        return self._attempt_shapes(call, changes, notes)

    def _attempt_shapes(
        self, call: Call, changes: Sequence[Difference], notes: list[str]
    ) -> tuple[NewTrace, dict[str, float]]:
        exact = first_pattern(call)
        pattern = self._general_pattern(call) if changes else exact
        if pattern != exact:
            try:
                made = self._make(call, pattern)
            except Exception as error:
                self._static_shapes.add(call.skeleton)
                notes.append(f"sizes stay fixed: {_first_line(error)}")
            else:
                notes.append(f"sizes are now open: {', '.join(map(str, pattern))}")
                return made
        return self._make(call, exact)

    def _general_pattern(self, call: Call) -> tuple[TensorType, ...]:
        """The pattern of the latest trace of this form, with what differs left open."""
        exact = first_pattern(call)
        from_specs = any(isinstance(leaf, TensorSpec) for leaf in call.leaves)
        if from_specs or call.skeleton in self._static_shapes:
            return exact
        for record in reversed(self._cache.records):
            if record.skeleton == call.skeleton:
                shapes = [shape for shape, _, _ in call.types()]
                return generalise(record.concrete.pattern, shapes)
        return exact

    def _make(
        self, call: Call, pattern: tuple[TensorType, ...]
    ) -> tuple[NewTrace, dict[str, float]]:
        made = self._job().trace(call, pattern)
        start = time.perf_counter()
        made.concrete.executable  # noqa: B018 (compiles)
        return made, {"trace": made.seconds, "compile": time.perf_counter() - start}

    def _job(self) -> TraceJob:
        return TraceJob(
            name=self.name,
            function=self._traceable(),
            root=self.python_function,
            instance=self._owner(),
            purity=self._options["purity"],
            emitter=self._options["emitter"],
            convert=convert if self.autograph else None,
        )

    def _record(
        self,
        call: Call,
        made: NewTrace,
        seconds: dict[str, float],
        reason: str,
        fix: str,
    ) -> TraceRecord:
        concrete = made.concrete
        cache = weakref.ref(self._cache)

        def dead() -> None:
            table = cache()
            if table is not None and concrete.alive:
                table.evict(concrete)

        concrete.guards = GuardSet(made.guards, dead)
        for value in call.objects():
            concrete.guards.watch(value, dead)
        self._count += 1
        record = TraceRecord(
            number=self._count,
            paths=call.plan.paths,
            leaves=call.describe(),
            reason=reason,
            fix=fix,
            where=caller_location(),
            seconds=seconds,
            concrete=concrete,
            skeleton=call.skeleton,
            side_effects=made.side_effects,
        )
        self._misses += 1
        self._cache.add(record, call)
        policy.announce(record)
        return record

    # ------------------------------------------------------------------------ reasons

    def _closest_changes(self, call: Call) -> list[Difference]:
        """Differences from the closest trace; from the latest of equals."""
        leaves, paths = call.describe(), call.plan.paths
        all_changes = [
            differences(r, paths, leaves) for r in reversed(self._cache.records)
        ]
        return min(
            all_changes, key=lambda found: sum(c.weight for c in found), default=[]
        )

    def _reason(self, call: Call, changes: Sequence[Difference]) -> tuple[str, str]:
        if not self._cache.records:
            return "first call", ""
        broken = [
            g
            for c in self._cache.exact.get(call.key, ())[:1]
            for g in c.guards.broken()
        ]
        if broken:
            return "; ".join(g.explain() for g in broken), ""
        if not changes:
            return "the trace for these arguments was given up", ""
        return "; ".join(map(str, changes)), fix_for(changes)

    def _check_policy(self, reason: str) -> None:
        if not self._cache.records:
            return
        message = f"{self.name} is traced again: {reason}"
        if policy.retracing_forbidden() or self._options["on_retrace"] == "error":
            raise policy.RetraceError(message, fix=f"see {self.name}.why()")
        if self._options["on_retrace"] == "warn":
            place = caller_location()
            warnings.warn_explicit(
                message, policy.RetraceWarning, place.file, place.line
            )

    # ------------------------------------------------------- numbers passed at run time

    def _lift(self, paths: Iterable[str], undo: bool = False) -> None:
        if undo:
            self._lifted -= set(paths)
        else:
            self._lifted |= set(paths)
        for plan in self._plans.values():
            plan.lifted = self._lifted_places(plan)

    def _lifted_places(self, plan: Plan) -> set[int]:
        return {i for i, path in enumerate(plan.paths) if path in self._lifted}

    def _relift(self, call: Call) -> None:
        """Bring a call's key and arrays up to date after `_lift`."""
        again = call.again(self.name)
        call.key, call.arrays = again.key, again.arrays

    # ---------------------------------------------------------------------- inspection

    @property
    def traces(self) -> list[TraceRecord]:
        """The traces that are kept, oldest first."""
        return list(self._cache.records)

    def why(self) -> str:
        """Every trace with its reason, its cost and what would have avoided it."""
        return why(
            self.name, self._cache.records, sum(r.hits for r in self._cache.records)
        )

    def cache_info(self) -> CacheInfo:
        """Hits, misses (traces made), the limit and the number of traces kept."""
        hits = sum(r.hits for r in self._cache.records)
        limit = self._options["max_traces"]
        return CacheInfo(hits, self._misses, limit, len(self._cache.records))

    def cache_clear(self) -> None:
        """Forget all traces."""
        with self._lock:
            self._cache.clear()

    def signatures(self) -> list[tuple[tuple[str, str], ...]]:
        """``(path, description)`` of the arguments of every trace."""
        return [r.signature for r in self._cache.records]

    def captures(self) -> str:
        """A table of what the latest trace takes from outside its arguments."""
        return self._latest().captures()

    def control_flow(self) -> str:
        """What became of each branch and loop in the latest trace, one a line."""
        decisions = self._latest().concrete.decisions
        return "\n".join(f"{place}  -> {what}" for place, what in decisions.items())

    def ir(self, stage: str = "traced", fmt: str = "text") -> str:
        """The latest trace as text.

        Args:
            stage: ``"traced"``, or one of the compiler's: ``"optimized"``, ``"fused"``,
                ``"loops"``, ``"kernels"``, ``"llvm"``, ``"asm"``, ``"buffers"``,
                ``"steps"``.
            fmt: ``"text"`` or, for ``"traced"``, ``"canonical"``.

        Raises:
            ArgumentError: for an unknown stage or format, or before the first trace.
        """
        return self._latest().ir(stage, fmt)

    def _latest(self) -> StageView:
        if not self._cache.records:
            raise ArgumentError(
                f"{self.name} has not been traced yet",
                fix=f"call it, or use {self.name}.trace(*args)",
            )
        return StageView(self._cache.records[-1].concrete, self.name)

    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """The trace for these arguments (tensors or `TensorSpec`s), not run."""
        return Traced(self._concrete_for(args, kwargs), self.name)

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """The trace for these arguments with the stages of the compiler."""
        return Lowered(self._concrete_for(args, kwargs), self.name)

    def compile(self, *args: Any, **kwargs: Any) -> Compiled:
        """The compiled trace for these arguments, not run."""
        return Compiled(self._concrete_for(args, kwargs), self.name)

    def get_concrete_function(self, *args: Any, **kwargs: Any) -> ConcreteFunction:
        """The trace for these arguments as something to call on tensors alone."""
        if not args and not kwargs and self.input_signature is not None:
            args = tuple(self.input_signature)
        return self._concrete_for(args, kwargs)

    def _concrete_for(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ConcreteFunction:
        call = self._prepare(args, kwargs)
        return self._cache.find(call) or self._trace(call).concrete

    # ------------------------------------------------------------------------- methods

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Each object has its own traces, which die with it."""
        if instance is None:
            return self
        found = self._instances.get(id(instance))
        if found is None or found[0]() is not instance:
            found = self._bind(instance)
        return MethodType(found[1], instance)

    def _bind(self, instance: Any) -> tuple[Any, InstanceFunction]:
        key = id(instance)
        table = self._instances
        try:
            reference = weakref.ref(instance, lambda _: table.pop(key, None))
        except TypeError as error:
            raise ArgumentError(
                f"{type(instance).__name__}.{self.name}: objects of this class cannot "
                "have compiled methods",
                fix="add '__weakref__' to __slots__",
            ) from error
        made = InstanceFunction(
            self.python_function, instance=instance, **self._options
        )
        table[key] = (reference, made)
        return table[key]

    def __repr__(self) -> str:
        return f"<jf.function {self.name}: {len(self._cache.records)} traces>"


class InstanceFunction(Function):
    """The traces of a method for one object; called with the object first."""

    def __call__(self, instance: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Run the method; `instance` is the object it belongs to."""
        return Function.__call__(self, *args, **kwargs)


def _check_option(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        choices = ", ".join(map(repr, allowed))
        raise ArgumentError(f"{name}: {value!r} is not one of {choices}")


def _rule(python_function: Callable[..., Any], name: str) -> Function:
    """The derivative rule of a recorded call, compiled."""
    return Function(python_function, name=name, purity="off")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def function(
    python_function: Callable[..., Any] | None = None,
    *,
    input_signature: Sequence[TensorSpec] | None = None,
    autograph: bool = True,
    jit_compile: bool = True,
    name: str | None = None,
    max_traces: int | None = 128,
    on_retrace: str = "ignore",
    purity: str = "warn",
    emitter: str | None = None,
    verify: str | None = None,
) -> Any:
    """Make a function run as compiled traces; a decorator, with or without arguments.

    The function is traced when it is called with arguments of new types. Tensors,
    arrays and variables are passed at run time; other arguments are part of the trace.
    An int or float that takes a second value is passed at run time from then on, where
    the function allows it. A size that takes a second value becomes a symbol.

    Args:
        python_function: what to run; functions, methods, lambdas, callable objects.
        input_signature: a `TensorSpec` (or a structure of them) for each positional
            argument; open sizes are symbols from the first trace on.
        autograph: convert Python control flow on tensors.
        jit_compile: False runs traces op by op in the reference interpreter.
        name: shown in messages and graphs.
        max_traces: how many traces are kept; the least used goes first.
        on_retrace: ``"ignore"``, ``"warn"`` or ``"error"`` when a second trace is made.
        purity: ``"warn"``, ``"error"`` or ``"off"``: what to do about side effects that
            would happen once per trace and not per call.
        emitter: ``"llvm"``, ``"numba"`` or ``"interpreter"``; None for the default.
        verify: ``"first"`` compares the first run of each trace with the interpreter,
            ``"always"`` every run.

    Returns:
        A `Function`.

    Raises:
        ArgumentError: for an option that does not exist.
    """
    if not jit_compile:
        emitter = INTERPRETER

    def decorate(target: Callable[..., Any]) -> Function:
        if isinstance(target, Function):
            target = target.python_function
        return Function(
            target,
            input_signature=input_signature,
            autograph=autograph,
            name=name,
            max_traces=max_traces,
            on_retrace=on_retrace,
            purity=purity,
            emitter=emitter,
            verify=verify,
        )

    return decorate if python_function is None else decorate(python_function)
