"""Factorization: layers replaced by products of smaller ones."""
