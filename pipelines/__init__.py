"""What runs, where results live, what is shown."""
