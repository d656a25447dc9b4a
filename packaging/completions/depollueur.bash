# The program itself knows its commands and options.
eval "$(depollueur completions bash)"
