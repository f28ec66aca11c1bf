"""Where work runs: Parsl on this machine or a cluster."""
