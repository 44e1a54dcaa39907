"""The page on which a hole is painted and filled."""
