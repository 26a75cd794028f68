"""The crop and the reference evapotranspiration that drives it."""
