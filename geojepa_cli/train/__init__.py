"""Training: configuration to modules, the loop, schedules, checkpoints, monitors."""
