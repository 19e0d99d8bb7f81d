"""Files of Parquet, as jobs make them of rows and read them again: for all data systems.

`library` is what reads and writes them, and `raw` what that is given for files; `footers` are what files of ours say of
themselves; `writing` makes a file of parts that were put aside by the attempts of a job; `files` reads one that a stage
keeps, some rows at a time, after a look into its `pages`; `columns` are what of other programs' columns is taken;
`persistence` is how rows are put in while a store has no time.
"""
