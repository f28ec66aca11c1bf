"""That work runs, once, whatever falls over. Knows nothing of cryo-EM."""
