"""One module per family of models; `build.build` builds any of them from its config."""
