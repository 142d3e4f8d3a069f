"""All elementwise ops: one, two and more operands."""

from compiler.ops import elementwise_binary, elementwise_other, elementwise_unary

__all__ = ["elementwise_binary", "elementwise_other", "elementwise_unary"]
