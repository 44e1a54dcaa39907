"""The paper's comparison, tables and figures."""
