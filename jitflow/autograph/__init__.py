"""Python control flow on tensors, converted from the source."""

from jitflow.autograph import operators
from jitflow.autograph.convert import Converter, do_not_convert, to_code

convert = Converter(operators)

__all__ = ["convert", "do_not_convert", "to_code"]
