"""Looking at what methods do: sheets of images, maps of redundancy, costs."""
