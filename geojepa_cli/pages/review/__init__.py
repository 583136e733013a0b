"""HTML page of a review: entities whose tag disagrees with their surroundings, with a map of each."""
