"""The base class of initializers."""

from __future__ import annotations

from typing import Any


class Initializer:
    """Makes the first value of a variable: ``initializer(shape, dtype)``.

    Subclasses implement `__call__` and `get_config`.
    """

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """A tensor of `shape` and `dtype`."""
        raise NotImplementedError(f"{type(self).__name__} implements __call__")

    def get_config(self) -> dict[str, Any]:
        """The arguments, as plain values."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new initializer of that configuration."""
        return cls(**config)

    def clone(self) -> Any:
        """A new initializer of the same configuration."""
        return type(self).from_config(self.get_config())
