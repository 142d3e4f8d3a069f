"""`Undefined`: what a name holds that has no value, and why."""

from __future__ import annotations

from typing import Any, NoReturn


class Undefined:
    """Stands for a missing value; any use raises.

    Args:
        name: of the variable.
        reason: why it has no value; that of a plain unbound local when left out.
    """

    __slots__ = ("_name", "_reason")

    def __init__(self, name: str, reason: str = "") -> None:
        self._name = name
        self._reason = reason

    def _raise(self, *_: Any, **__: Any) -> NoReturn:
        if self._reason:
            raise UnboundLocalError(f"{self._name!r} has no value here: {self._reason}")
        raise UnboundLocalError(
            f"cannot access local variable {self._name!r} where it is not associated "
            "with a value"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # a question about the type, not a use
        self._raise()

    def __repr__(self) -> str:
        return f"<{self._name} without a value>"


for _method in (
    *("array", "bool", "call", "contains", "enter", "getitem", "index", "iter", "len"),
    *("float", "int", "neg", "eq", "ne", "lt", "le", "gt", "ge", "hash"),
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or"),
    *("radd", "rsub", "rmul", "rtruediv", "rfloordiv", "rmod", "rpow", "rmatmul"),
    *("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "imatmul"),
):
    setattr(Undefined, f"__{_method}__", Undefined._raise)
