"""Questions about a search, answered by a language model from the rows of the store."""
