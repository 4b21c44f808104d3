"""What two towers find: the candidates that there are, how they rank, and how well."""
