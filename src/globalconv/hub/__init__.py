"""Files on a hub of models: their addresses, downloads into a cache, uploads. Knows nothing of networks."""
