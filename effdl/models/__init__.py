"""One module per family of models; `build.build` makes any of them from its config."""
