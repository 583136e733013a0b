"""Training of models: data, training loop, schedules, checkpoints, memory check and training log."""
