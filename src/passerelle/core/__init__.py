"""The words of the house: values, states, errors, units, digests, configuration, log. Imports nothing of ours."""
