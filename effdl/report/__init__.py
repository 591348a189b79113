"""What people see of runs: tables, pictures, scores, a page, model cards, reproduction."""
