"""Typed tensor graphs: types, nodes, builders, text, verification, interpretation."""
