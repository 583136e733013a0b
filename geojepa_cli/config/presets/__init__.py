"""Packed training configurations."""
