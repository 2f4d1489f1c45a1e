"""Say how good a model is: features, real data's statistics, figures, the table of them."""
