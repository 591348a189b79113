"""Distillation: losses by which a model learns from a teacher."""
