# The program itself knows its commands and options.
depollueur completions fish | source
