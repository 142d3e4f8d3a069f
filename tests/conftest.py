"""Fixtures for all tests: a kernel cache and a random generator of their own."""

from __future__ import annotations

import os
import tempfile

import numpy as np
import pytest

# Before anything compiles: the tests must neither use nor fill the user's cache.
_CACHE = tempfile.TemporaryDirectory(prefix="jitflow-test-cache-")
os.environ["JITFLOW_CACHE_DIR"] = _CACHE.name


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(0)
