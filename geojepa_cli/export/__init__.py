"""Model card of a trained model."""
