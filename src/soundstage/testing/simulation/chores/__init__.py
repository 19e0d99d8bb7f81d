"""A system whose jobs are simulated: each does so many steps, and tells a book of all that it does."""
