"""The buffer that microscope PCs write to: watch, settle, admit."""
