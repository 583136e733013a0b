"""One file per command, read from top to bottom as that stage's recipe: options, open, call, publish, say."""
