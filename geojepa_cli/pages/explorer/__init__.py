"""Web page on which a user explores similar places, and the server that answers its requests."""
