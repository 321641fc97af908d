"""Readers of trained models, one file per input format; each gives a frozen graph."""
