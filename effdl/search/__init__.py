"""Search under a budget: the best compressed model that keeps to bounds on its accuracy and its costs."""
