"""Commands, one per file. A command parses its options, calls the stage, and prints the result."""
