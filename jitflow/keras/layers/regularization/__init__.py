"""Layers that regularize: noise, dropout, penalties."""
