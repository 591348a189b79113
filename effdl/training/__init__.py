"""Training a model: the loop, its state, the trainer that methods are given, callbacks."""
