"""Distillation: losses with which a student learns from a teacher."""
