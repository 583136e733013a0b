"""Commands of the `geojepa` program, one per file. A command parses options, calls a stage and prints the result."""
