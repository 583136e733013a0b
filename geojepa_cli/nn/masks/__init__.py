"""Random masks that divide the tokens of a tile into visible (context) and hidden (target) tokens."""
