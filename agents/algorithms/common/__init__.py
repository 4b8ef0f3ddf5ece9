"""What the algorithms share: settings, the loop over batches, gradient steps, learning curves, logs."""
