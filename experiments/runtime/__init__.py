"""Start, stop, files and cooperation of programs; nothing about images."""
