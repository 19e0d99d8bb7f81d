"""The jobs of a stage, behind the system `jobs`: kept, started, carried out."""
