"""One question each, with the command that answers it. A study is imported by nothing but its test."""
