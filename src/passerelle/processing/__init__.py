"""The on-the-fly stages of one movie: recipe, steps, quality."""
