"""Training: data, training loop, schedules, checkpoints, memory check and metrics log."""
