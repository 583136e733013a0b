"""Network layers: MLP, transformer and initial weights."""
