"""Water on its way to the roots and what becomes of it: runoff, sprinklers, efficiency, yield."""
