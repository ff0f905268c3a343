"""What operators watch: a query's progress as numbers, and where they may go."""
