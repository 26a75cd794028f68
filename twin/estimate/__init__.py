"""What readings say of the field: an ensemble of soils, corrected by what its probe has read."""
