"""Reading, checking, splitting, caching and augmenting images and masks."""
