"""How results look: one renderer for each document and format, found through ``registry``."""
