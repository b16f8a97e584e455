"""Data: files (or numbers) in, samples and batches out."""
