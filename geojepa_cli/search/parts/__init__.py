"""Kinds of query parts, one file each."""
