package mutants

// subject is what the tests of this package break.
func subject() int { return 1 }
