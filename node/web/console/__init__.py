"""The web console: pages for people, over the same store and story as the command line."""
