"""A compiler of tensor graphs: build a graph, compile it, call it."""
