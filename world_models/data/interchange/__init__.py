"""Other people's episodes: .npz rollouts, HDF5 files and Minari data sets.

They are read into the store and written from it.
"""
