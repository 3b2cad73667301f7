"""Relation labels, in the form that their number of classes asks for."""
