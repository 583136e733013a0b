"""The page of similar places."""
