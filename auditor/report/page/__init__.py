"""What every page is made of: templates, one style sheet and one script, all of which end up inside it."""
