"""Looking inside a trace: `Traced`, `Lowered`, `Compiled`, as ahead-of-time stages."""

from __future__ import annotations

from typing import Any

from compiler.errors import CompilerError
from compiler.ir.node import Graph
from compiler.ir.printer import print_graph
from jitflow.errors import ArgumentError
from jitflow.function.concrete import ConcreteFunction
from jitflow.tensor import Variable

_FORMATS = ("text", "canonical")


class StageView:
    """One trace and its texts."""

    def __init__(self, concrete: ConcreteFunction, name: str) -> None:
        self.concrete = concrete
        self.name = name

    @property
    def graph(self) -> Graph:
        """The graph as it was traced."""
        return self.concrete.graph

    def ir(self, stage: str = "traced", fmt: str = "text") -> str:
        """The text of a stage.

        Raises:
            ArgumentError: for an unknown stage or format.
        """
        if fmt not in _FORMATS:
            raise ArgumentError(f"fmt: {fmt!r} is not one of {', '.join(_FORMATS)}")
        if stage == "traced":
            return print_graph(self.graph, canonical=fmt == "canonical")
        if fmt != "text":
            raise ArgumentError(f"stage {stage!r} has no {fmt} form")
        try:
            return self.concrete.executable.text(stage)
        except CompilerError as error:
            raise ArgumentError(f"stage: {error.message}", fix=error.fix) from None

    def captures(self) -> str:
        """What the trace takes from outside its arguments, one a line, with sizes."""
        concrete = self.concrete
        updated = {id(v) for v in concrete.updated_variables()}
        lines = [f"{self.name}: {len(concrete.captures)} captured arrays"]
        params = concrete.graph.params[len(concrete.pattern) :]
        for captured, param in zip(concrete.captures, params, strict=True):
            kind = "variable" if isinstance(captured, Variable) else "tensor"
            size = captured._data.nbytes
            note = ", updated" if id(captured) in updated else ""
            label = f" {captured.name!r}" if isinstance(captured, Variable) else ""
            lines.append(f"  {param.output.type}  {size:,} bytes  {kind}{label}{note}")
        lines.append(f"{len(concrete.guards)} guarded Python values")
        lines.extend(f"  {guard!r}" for guard in concrete.guards.guards)
        return "\n".join(lines)


class Traced(StageView):
    """A trace; ``graph`` is the object, ``ir()`` its text."""

    def lower(self) -> Lowered:
        """The same trace with the compiler's stages."""
        return Lowered(self.concrete, self.name)

    def __repr__(self) -> str:
        return f"<traced {self.name}: {len(self.graph.nodes)} nodes>"


class Lowered(StageView):
    """A trace with the graph stages of the compiler: optimised and fused."""

    def ir(self, stage: str = "optimized", fmt: str = "text") -> str:
        """The text of a stage, by default after all passes; see `StageView.ir`."""
        return super().ir(stage, fmt)

    def report(self) -> str:
        """What each pass did."""
        return super().ir("passes")

    def compile(self) -> Compiled:
        """The same trace with its kernels."""
        return Compiled(self.concrete, self.name)

    def __repr__(self) -> str:
        return f"<lowered {self.name}>"


class Compiled(StageView):
    """A compiled trace that can be called on its tensor arguments."""

    def __init__(self, concrete: ConcreteFunction, name: str) -> None:
        super().__init__(concrete, name)
        self.executable = concrete.executable

    def __call__(self, *tensors: Any) -> Any:
        """Run on the tensor arguments, in graph order."""
        return self.concrete(*tensors)

    def kernels(self) -> str:
        """Source of the kernels."""
        return self.ir("kernels")

    def buffers(self) -> str:
        """Where every value lives in memory."""
        return self.ir("buffers")

    def steps(self) -> str:
        """What one call executes, in order."""
        return self.ir("steps")

    def cost(self) -> dict[str, int]:
        """Number of nodes, kernels and other steps of one call."""
        return dict(self.executable.counts)

    def __repr__(self) -> str:
        return f"<compiled {self.name}: {self.cost()}>"
