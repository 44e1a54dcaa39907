"""The paper's comparison and figures."""
