//! Scripts of the pure parts: topology, cursors, pace.
