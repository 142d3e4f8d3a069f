"""Buffers: which value lives where and when, decided before anything runs."""
