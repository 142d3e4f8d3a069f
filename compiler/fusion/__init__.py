"""Fusion: which nodes one kernel computes, and why not more."""
