"""Wiki search: a drawbar environment whose agents answer questions by searching a wiki."""
