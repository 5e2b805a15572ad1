"""The graph IR: types, ops, graphs, builder, verifier and text form."""
