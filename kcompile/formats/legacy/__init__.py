"""Files of Keras 1 and 2, and the HDF5 files of Keras 3 in their form."""
