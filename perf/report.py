"""The comparison as text, as a Markdown table and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from typing import Any

from perf.frameworks import Framework, dropped
from perf.measure import Comparison, Measured, Ratio, geometric_mean, is_ours

# Smallest value of each unit after rounding to three digits, the unit, its factor.
_UNITS = (
    (0.9995, "s", 1),
    (9.995e-4, "ms", 1e3),
    (9.995e-7, "µs", 1e6),
    (0, "ns", 1e9),
)
QUIET_LOAD = 0.5


def duration(seconds: float) -> str:
    """Seconds with three digits in the unit that suits: ``1.66 ms``."""
    _, unit, factor = next(u for u in _UNITS if seconds >= u[0])
    value = seconds * factor
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


def spread(measured: Measured) -> str:
    """Median and relative deviation: ``1.66 ms ±2%``."""
    if measured.deviation is None:
        return duration(measured.median)
    share = measured.deviation / measured.median
    return f"{duration(measured.median)} ±{share:.0%}"


def ratio_text(ratio: Ratio | None) -> str:
    """``2.31× (2.20–2.40)``; a ~ in front where rounds do not settle it."""
    if ratio is None:
        return "-"
    sign = "" if ratio.certain else "~"
    return f"{sign}{ratio.median:.2f}× ({ratio.low:.2f}–{ratio.high:.2f})"


def table(comparison: Comparison) -> str:
    """One comparison, a line for each variant, fastest first, and the ratio."""
    found = comparison.measured()
    width = max((len(label) for label in found), default=0)
    lines = [f"  {label:{width}}  {spread(m)}" for label, m in found.items()]
    ratio = comparison.ratio()
    if ratio is not None:
        lines.append(f"  {ratio.peer} / {comparison.ours()}: {ratio_text(ratio)}")
    return "\n".join([f"{comparison.title}  (load {comparison.load:.2f})", *lines])


def header(frameworks: Iterable[Framework]) -> list[str]:
    """Where and with what the figures were taken."""
    versions = [f.version() for f in frameworks if not f.missing()]
    parts = dict.fromkeys(part for text in versions for part in _pairs(text))
    without = ", ".join(dropped()) or "nothing"
    return [
        f"{_cpu()}, {_cores()} cores; Python {platform.python_version()}",
        ", ".join(parts),
        f"Workers run without these variables of the shell: {without}.",
    ]


def _pairs(text: str) -> list[str]:
    words = text.split()
    return [" ".join(words[i : i + 2]) for i in range(0, len(words), 2)]


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1] for line in lines if "model name" in line]
    except OSError:
        names = []
    return names[0].strip() if names else platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def markdown(comparisons: Sequence[Comparison], head: Sequence[str]) -> str:
    """A table with a row for each comparison, and the geometric mean."""
    lines = [*(f"{line}  " for line in head), ""]
    lines += [
        "| work | JitFlow | best peer | ratio | others |",
        "|---|---|---|---|---|",
    ]
    lines += [_row(comparison) for comparison in comparisons]
    mean = geometric_mean(comparisons)
    if mean is not None:
        lines += ["", f"Geometric mean of the ratios: {mean:.2f}×."]
    return "\n".join(lines) + "\n"


def _row(comparison: Comparison) -> str:
    found = comparison.measured()
    ratio = comparison.ratio()
    peer = None if ratio is None else ratio.peer
    ours = ", ".join(spread(m) for label, m in found.items() if is_ours(label))
    others = [
        f"{label} {duration(m.median)}"
        for label, m in found.items()
        if not is_ours(label) and label != peer
    ]
    best = "-" if peer is None else f"{peer} {spread(found[peer])}"
    cells = (comparison.title, ours or "-", best, ratio_text(ratio), ", ".join(others))
    return f"| {' | '.join(cells)} |"


def as_json(comparisons: Sequence[Comparison], head: Sequence[str]) -> dict[str, Any]:
    """Everything measured: seconds of every round of every variant."""
    return {
        "about": list(head),
        "geometric_mean": geometric_mean(comparisons),
        "comparisons": [
            {
                "name": c.name,
                "title": c.title,
                "load": c.load,
                "seconds": c.rounds,
                "ratio": None if (r := c.ratio()) is None else vars(r),
            }
            for c in comparisons
        ],
    }
