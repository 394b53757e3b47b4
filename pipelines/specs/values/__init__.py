"""What values may be: names, numbers of points and seeds, and the words that rows get of them."""
