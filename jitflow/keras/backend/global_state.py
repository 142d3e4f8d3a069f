"""Counters behind automatic names, per process and thread; reset by `clear_session`."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from typing import Any


class _Session(threading.local):
    """What `clear_session` forgets."""

    def __init__(self) -> None:
        self.uids: defaultdict[str, int] = defaultdict(int)
        self.attributes: dict[str, Any] = {}


session = _Session()


def get_uid(prefix: str = "") -> int:
    """The next number of a prefix, from 1 on."""
    session.uids[prefix] += 1
    return session.uids[prefix]


def to_snake_case(name: str) -> str:
    """``LayerNormalization`` as ``layer_normalization``."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def auto_name(prefix: str) -> str:
    """A name that no object of this session has had: ``dense``, ``dense_1``, …"""
    return uniquify(to_snake_case(prefix))


def uniquify(name: str) -> str:
    """`name` the first time, then with a number."""
    count = session.uids[name]
    session.uids[name] += 1
    return name if count == 0 else f"{name}_{count}"


def clear_session(free_memory: bool = True) -> None:
    """Start automatic names again and forget the global random generator.

    Args:
        free_memory: accepted for Keras' signature; Python frees what nothing refers to.
    """
    session.uids.clear()
    session.attributes.clear()
