package main

// Rewards of your own that are to be part of the program are packages that register
// their kinds. They become part of it by an import in this file:
//
//	import _ "flowgrpo/examples/rewards/darkness"
