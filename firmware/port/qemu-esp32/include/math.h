/* wasm3 includes it, and uses nothing of it when built without floats and without tracing. */
