"""bumplab: "Do Diffusion Models Learn Semantically Meaningful and Efficient Representations?" as a test suite."""

__version__ = "0.2.0"
