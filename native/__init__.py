"""How the native core is compiled; the core itself is the C++ beside it."""
