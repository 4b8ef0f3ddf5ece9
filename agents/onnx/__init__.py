"""Selectors as ONNX graphs: export, and running them without torch.

`runtime` needs onnxruntime and NumPy only.
"""
