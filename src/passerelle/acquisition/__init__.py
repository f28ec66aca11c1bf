"""What microscope programs write: path -> role, sidecar -> values. Pure knowledge of names and files."""
