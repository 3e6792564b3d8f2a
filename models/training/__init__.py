"""How a model is made: labelled sets to a version folder, and the refresh that follows people's labels."""
