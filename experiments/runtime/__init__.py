"""How programs start, stop, keep files and work together; nothing about images."""
