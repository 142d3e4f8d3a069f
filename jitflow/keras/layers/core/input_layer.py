"""`Input` and `InputLayer`: where the data enters a model."""

from __future__ import annotations

from typing import Any

from jitflow.errors import ArgumentError
from jitflow.keras.backend.dtypes import standardize_dtype
from jitflow.keras.backend.keras_tensor import KerasTensor
from jitflow.keras.layers.layer import Layer
from jitflow.keras.ops.operation import Node
from jitflow.keras.saving.registration import keras_export


@keras_export("keras.layers.InputLayer")
class InputLayer(Layer):
    """Stands for an input of a model; passes it through.

    Args:
        shape: sizes without the batch; None where they are open.
        batch_size: size of the batch, if it is fixed.
        dtype: of the input; the default float type when left out.
        batch_shape: sizes with the batch, in place of the first two.
        input_tensor: a symbolic tensor to use, in place of a new one.
        optional: whether None may be passed.
        name: also the name under which dicts give the data.

    Raises:
        ArgumentError: without a shape, or with two.
    """

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: KerasTensor | None = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if sparse or ragged:
            raise ArgumentError("sparse, ragged: only dense inputs are supported")
        if input_tensor is not None:
            batch_shape, dtype = input_tensor.shape, dtype or input_tensor.dtype
        elif shape is not None and batch_shape is not None:
            raise ArgumentError("shape, batch_shape: only one of them can be given")
        self.batch_shape = _batch_shape(shape, batch_size, batch_shape)
        self.optional = optional
        self._dtype = standardize_dtype(dtype)
        self.built = True
        output = input_tensor or KerasTensor(
            self.batch_shape, self._dtype, name=self.name
        )
        Node(self, (), {}, output)

    @property
    def dtype(self) -> str:
        """Name of the dtype of the input."""
        return self._dtype

    def call(self) -> Any:
        """An input computes nothing."""
        raise ArgumentError(f"InputLayer {self.name!r} is not called")

    def get_config(self) -> dict[str, Any]:
        """See `Layer`."""
        return {
            "batch_shape": self.batch_shape,
            "dtype": self._dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
            "optional": self.optional,
        }


def _batch_shape(shape: Any, batch_size: int | None, batch_shape: Any) -> Any:
    if batch_shape is not None:
        return tuple(batch_shape)
    if shape is None:
        raise ArgumentError(
            "shape: needed for an input", fix="as in keras.Input(shape=(784,))"
        )
    if isinstance(shape, int):
        raise ArgumentError(
            f"shape: a tuple is needed, given {shape}", fix=f"({shape},)"
        )
    return (batch_size, *shape)


@keras_export("keras.layers.Input", "keras.Input")
def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: KerasTensor | None = None,
    optional: bool = False,
) -> KerasTensor:
    """The symbolic input of a model; see `InputLayer` for the arguments."""
    layer = InputLayer(
        shape=shape,
        batch_size=batch_size,
        dtype=dtype,
        sparse=sparse,
        ragged=ragged,
        batch_shape=batch_shape,
        input_tensor=tensor,
        optional=optional,
        name=name,
    )
    return layer.output
