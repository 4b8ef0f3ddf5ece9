"""Export to ONNX, and running exported graphs without torch.

`runtime` needs onnxruntime and NumPy only.
"""
