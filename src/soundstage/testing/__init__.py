"""What proves Soundstage, for its own tests and for engines that others write. Extra: `soundstage[testing]`."""
