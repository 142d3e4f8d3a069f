"""Side-by-side timing of JitFlow and other frameworks; start with `perf/run.py`."""
