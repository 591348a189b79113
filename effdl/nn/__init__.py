"""Parts of networks that every room uses: masks, quantizers, parametrizations, hooks, counting."""
