"""Photographs of any size, with holes in them."""
