"""Look at a stream from a notebook: Tecton's names, and the preview in memory."""
